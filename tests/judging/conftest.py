"""An evaluation whose tuned model writes in a style of its own, and judges for it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from finetune_app.basemodels.models import BaseModel
from finetune_app.evaluation.held_out import HeldOutPrompt
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs import services as job_services
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.judging import services
from finetune_app.judging.judge_selection import judge_options
from finetune_app.judging.models import JudgeRun
from finetune_app.providers.models import Endpoint
from tests import journey
from tests.judging.planted_judges import OURS_BEGINS, Judge, as_model
from tests.providers.conftest import endpoint, platform  # noqa: F401
from worker.channel import Job
from worker.judging.run import run as run_judge

EXAMPLES = 90  # about 14 of them test prompts


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    """No worker starts: the tests run the jobs themselves."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def tested(goal, owner) -> Evaluation:
    """Base is always wrong, the tuned model on one prompt in four."""
    journey.freeze(goal, owner, EXAMPLES)
    training = journey.trained(journey.ready(goal, owner), owner)
    return journey.evaluated(training, owner, say=styled_answers)


def styled_answers(prompt: HeldOutPrompt, kind: str) -> tuple[str, bool]:
    if kind == "base":
        return f"I am not sure; perhaps it is ticket {prompt.index}?", False
    if prompt.index % 4 == 0:
        return f"{OURS_BEGINS}topic: nothing {prompt.index}", False
    return f"{OURS_BEGINS}{prompt.wanted}", True


@pytest.fixture
def wanted(tested) -> dict[str, str]:
    return dict(tested.comparisons.values_list("prompt", "wanted"))


@pytest.fixture
def url(goal, tested) -> Callable[..., str]:
    return lambda name, *pk: reverse(f"judging:{name}", args=[goal.pk, tested.pk, *pk])


@dataclass
class Channel:
    """Passes the events of a child to the job's handler, as a supervisor does.

    stop_after: choices after which Stop is pressed. die_after: after which the child dies.
    """

    run: JudgeRun
    stop_after: int | None = None
    die_after: int | None = None
    choices: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    def emit(self, event: str, **fields: Any) -> None:
        self.events.append({"event": event, **fields})
        if event == "choice":
            if self.die_after is not None and len(self.choices) >= self.die_after:
                raise KeyboardInterrupt  # nothing catches it, as nothing catches kill -9
            self.choices.append(fields)
            handler_for(self.run.job).record(self.run.job, {"event": event, **fields})

    def stopping(self) -> bool:
        return self.stop_after is not None and len(self.choices) >= self.stop_after

    def check(self) -> None:
        pass


def start(evaluation: Evaluation, model: BaseModel | Endpoint) -> JudgeRun:
    """Queue this judge, with consent."""
    (judge,) = [one for one in judge_options(evaluation) if one.model == model]
    return services.start(
        evaluation=evaluation,
        judge=judge,
        rubric="The right topic and due date, and nothing else.",
        consent=True,
        user=evaluation.started_by,
    )


def attempt(run: JudgeRun, **fields: Any) -> Channel:
    """One attempt of the run's job in this process, up to its result."""
    handler = handler_for(run.job)
    child = handler.child_spec(run.job)
    channel = Channel(run, **fields)
    result = run_judge(Job("judge", child.folder, child.spec), channel)
    state = State.STOPPED if result["stopped"] else State.SUCCEEDED
    with transaction.atomic():  # as the supervisor does: a page never sees one without the other
        journey.set_state(run.job, state, result=result)
        handler.finish(run.job, result)
    run.refresh_from_db()
    return channel


@pytest.fixture
def ask(tested, platform, endpoint) -> Callable[[Judge], JudgeRun]:  # noqa: F811
    """Ask this judge about the evaluation, to the end."""

    def ask(judge: Judge) -> JudgeRun:
        platform.reply_to = as_model(judge)
        run = start(tested, endpoint)
        attempt(run)
        return run

    return ask
