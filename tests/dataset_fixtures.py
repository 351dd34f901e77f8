"""Fixtures with a dataset, for the apps that read and change examples."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.checks import services as checks
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as job_services
from tests.example_rows import conversation, pair


@pytest.fixture
def dataset(goal: Goal) -> Dataset:
    return dataset_of(goal)


@pytest.fixture
def add_examples(dataset: Dataset, owner) -> Callable[..., Dataset]:
    """Add `count` good examples, or the given rows, and check them."""

    def add(count: int = 60, rows: list[dict] | None = None) -> Dataset:
        rows = rows or [{"messages": conversation(*pair(n)), "split": ""} for n in range(count)]
        add_rows(dataset=dataset, by=owner, rows=rows, source="emails.csv")
        checks.run_checks(dataset)
        return dataset

    return add


@pytest.fixture
def no_worker(monkeypatch) -> None:
    """No worker starts: the test runs the job itself."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)


@pytest.fixture
def url(goal: Goal) -> Callable[..., str]:
    def build(name: str, **kwargs: object) -> str:
        full_name = name if ":" in name else f"datasets:{name}"
        return reverse(full_name, kwargs={"goal_id": goal.pk, **kwargs})

    return build
