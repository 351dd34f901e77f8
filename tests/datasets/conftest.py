"""Examples to work with."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.checks import services as checks
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as job_services

TOPICS = (
    "puncture",
    "brakes",
    "saddle",
    "gears",
    "light",
    "chain",
    "pedal",
    "bell",
    "fork",
    "tyre",
)
ASKS = (
    "My {0} broke on the way to work, can you look at it {1}?",
    "How much is a new {0} for an older bike, fitted {1}?",
    "I would like to bring the {0} back {1} because it does not fit",
    "Is the {0} that I ordered three weeks ago going to arrive {1}?",
    "There is a strange noise near the {0}; do you have time {1}?",
)
WHENS = ("today", "on Monday morning", "before the holidays", "this week", "by the end of May")


def pair(number: int) -> tuple[str, str]:
    """A question and its answer; no two numbers below 250 ask alike."""
    topic, ask, when = TOPICS[number % 10], ASKS[number // 10 % 5], WHENS[number // 50 % 5]
    prompt = f"{ask.format(topic, when)} Ticket {number * 7919}{chr(97 + number % 26) * 3}."
    return prompt, f"topic: {topic}\ndue: {when.replace(' ', '_')}"


def conversation(prompt: str, answer: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}]


@pytest.fixture
def dataset(goal: Goal) -> Dataset:
    return dataset_of(goal)


@pytest.fixture
def bring(dataset: Dataset, owner) -> Callable[..., Dataset]:
    """Add `count` good examples (or rows of your own) and check them."""

    def add(count: int = 60, rows: list[dict] | None = None) -> Dataset:
        rows = rows or [{"messages": conversation(*pair(n)), "split": ""} for n in range(count)]
        add_rows(dataset=dataset, by=owner, rows=rows, source="emails.csv")
        checks.run_checks(dataset)
        return dataset

    return add


@pytest.fixture
def no_worker(monkeypatch) -> None:
    """Nobody is woken: a test runs the job itself, when it wants to."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def url(goal: Goal) -> Callable[..., str]:
    def build(name: str, **kwargs: object) -> str:
        full_name = name if ":" in name else f"datasets:{name}"
        return reverse(full_name, kwargs={"goal_id": goal.pk, **kwargs})

    return build
