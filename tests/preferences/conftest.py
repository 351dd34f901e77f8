"""A goal with examples, and a run in which a candidate has answered prompts twice."""

import re
from collections.abc import Callable
from html import unescape
from typing import Any

import pytest
from django.urls import reverse

from finetune_app.candidates import services as candidates
from finetune_app.datasets.models import Dataset, Status
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as job_services
from finetune_app.jobs.handlers import handler_for
from finetune_app.preferences import runs
from finetune_app.preferences.models import AnswerPair, PreferenceRun
from tests import journey
from tests.example_rows import conversation, pair


@pytest.fixture(autouse=True)
def _no_worker(monkeypatch):
    """No worker starts: the tests run the jobs themselves."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def url(goal: Goal) -> Callable[..., str]:
    return lambda name, *ids: reverse(f"preferences:{name}", args=[goal.pk, *ids])


@pytest.fixture
def dataset(goal: Goal) -> Dataset:
    return dataset_of(goal)


@pytest.fixture
def ready(goal: Goal, owner) -> Goal:
    """60 answered rows, frozen, and a base model."""
    return journey.ready(goal, owner)


def add(dataset: Dataset, by: Any, number: int, **fields: Any) -> Any:
    """One row: answered unless `answer` says otherwise; in the training split."""
    prompt, answer = pair(number)
    messages = conversation(fields.pop("prompt", prompt), fields.pop("answer", answer))
    row = {"messages": messages, "split": "train"} | fields
    status = Status.APPROVED if messages[-1]["content"] else Status.PENDING
    add_rows(dataset=dataset, by=by, rows=[row], source="emails.csv", status=status)
    return dataset.examples.latest("number")


def started(goal: Goal, by: Any, count: int = 20) -> PreferenceRun:
    base = candidates.base_candidate(goal=goal, base_model=goal.base_choice.base_model)
    return runs.start_run(goal=goal, candidate=base, count=count, by=by)


def record(run: PreferenceRun, answer_pair: AnswerPair, **fields: Any) -> None:
    """Two answers of the worker arrive."""
    event = {"event": "answers", "pair": answer_pair.pk, "first": "better", "second": "worse"}
    handler_for(run.job).record(run.job, event | fields)


@pytest.fixture
def run(ready, owner) -> PreferenceRun:
    """20 prompts, each answered "good N" and "bad N", N being the row's number."""
    run = started(ready, owner)
    for one in run.answer_pairs.select_related("example"):
        number = one.example.number
        record(run, one, first=f"good {number}", second=f"bad {number}")
    journey.end(run.job)
    run.refresh_from_db()
    return run


def shown_to(client: Any, url: Callable[..., str]) -> AnswerPair:
    """The pair on the page of this person."""
    page = client.get(url("choose"))
    return page.context["pair"]


def side_of(answer_pair: AnswerPair, text: str) -> str:
    """The letter under which an answer that begins so is shown."""
    (side,) = [side for side, answer in answer_pair.sides.items() if answer.startswith(text)]
    return side


def press(client: Any, url: Callable[..., str], answer_pair: AnswerPair, better: str) -> Any:
    """Press the button of a pair, as a browser does."""
    return client.post(url("choose"), {"pair": answer_pair.pk, "better": better})


def choose_good(client: Any, url: Callable[..., str]) -> AnswerPair:
    """Choose the good answer of the next pair; returns that pair as it is now."""
    found = shown_to(client, url)
    press(client, url, found, side_of(found, "good"))
    found.refresh_from_db()
    return found


def text(response: Any) -> str:
    """What a person reads of the page."""
    words = re.sub(r"<[^>]+>", " ", response.content.decode())
    return re.sub(r" (?=[.,])", "", " ".join(unescape(words).split()))
