"""A goal whose tuned model can be asked, and sheets of prompts that were answered."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from django.db import transaction
from django.urls import reverse

from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.candidate_selection import EvaluationInputs, create_candidates
from finetune_app.evaluation.prompt_baseline import BaselinePrompt
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as job_services
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.prompt_sheets import services
from finetune_app.prompt_sheets.models import PromptSheet
from tests import journey
from tests.providers.conftest import endpoint, platform  # noqa: F401
from worker.channel import Job
from worker.prompt_sheets.run import run as run_sheet

PROMPTS = ["Do you sell tyres?", "Where is my helmet?", "Can I pay later?"]


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    """No worker starts: the tests run the jobs themselves."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def trained(goal, owner) -> Goal:
    journey.trained(journey.ready(goal, owner), owner)
    return goal


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, *ids: reverse(f"prompt_sheets:{name}", args=[goal.pk, *ids])


def candidates_of(goal: Goal, *keys: str) -> list[Candidate]:
    """The base model, and those that these keys name."""
    prompt = BaselinePrompt("Sort it.", [])
    return create_candidates(EvaluationInputs.for_goal(goal), prompt=prompt, keys=keys)


def started(goal: Goal, by: Any, *keys: str, prompts: list[str] = PROMPTS) -> PromptSheet:
    return services.start(
        goal=goal,
        name=prompts[0],
        prompts=prompts,
        candidates=candidates_of(goal, *keys),
        max_new_tokens=12,
        user=by,
    )


@pytest.fixture
def sheet(trained, owner) -> PromptSheet:
    """Base, with a good prompt, and tuned have answered: "base 0" is base's answer to prompt 0."""
    sheet = started(trained, owner, "prompt", "tuned")
    for prompt in sheet.prompts.all():
        for candidate in sheet.ordered_candidates():
            record(sheet, candidate, prompt.index, f"{candidate.kind} {prompt.index}")
    journey.end(sheet.job)
    sheet.refresh_from_db()
    return sheet


def record(sheet: PromptSheet, candidate: Candidate, index: int, text: str, **fields: Any) -> None:
    """An answer of the worker arrives."""
    event = {"candidate": candidate.pk, "index": index, "text": text, "refused": False, "why": ""}
    event |= {"event": "answer", "tokens": 3, "seconds": 0.1, **fields}
    handler_for(sheet.job).record(sheet.job, event)


def place_of(sheet: PromptSheet, index: int, kind: str) -> str:
    """Where the answer of the candidate of this kind stands."""
    (pk,) = [one.pk for one in sheet.ordered_candidates() if one.kind == kind]
    return str(sheet.prompts.get(index=index).order.index(pk))


@dataclass
class Channel:
    """Passes the events of a child to the job's handler, as a supervisor does.

    stop_after: answers after which Stop is pressed. die_after: after which the child dies.
    """

    sheet: PromptSheet
    stop_after: int | None = None
    die_after: int | None = None
    answers: list[dict[str, Any]] = field(default_factory=list)

    def emit(self, event: str, **fields: Any) -> None:
        if event != "answer":
            return
        if self.die_after is not None and len(self.answers) >= self.die_after:
            raise KeyboardInterrupt  # nothing catches it, as nothing catches kill -9
        self.answers.append(fields)
        handler_for(self.sheet.job).record(self.sheet.job, {"event": event, **fields})

    def stopping(self) -> bool:
        return self.stop_after is not None and len(self.answers) >= self.stop_after

    def check(self) -> None:
        pass


def attempt(sheet: PromptSheet, **fields: Any) -> Channel:
    """One attempt of the sheet's job in this process, up to its result."""
    handler = handler_for(sheet.job)
    child = handler.child_spec(sheet.job)
    channel = Channel(sheet, **fields)
    result = run_sheet(Job("prompt_sheet", child.folder, child.spec), channel)
    state = State.STOPPED if result["stopped"] else State.SUCCEEDED
    with transaction.atomic():  # as the supervisor does
        journey.set_state(sheet.job, state, result=result)
        handler.finish(sheet.job, result)
    sheet.refresh_from_db()
    return channel
