"""A dataset, and the URLs of its pages."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.goals.models import Goal
from tests.example_rows import conversation, pair


@pytest.fixture
def dataset(goal: Goal) -> Dataset:
    return dataset_of(goal)


@pytest.fixture
def url(goal: Goal) -> Callable[..., str]:
    return lambda name, **kwargs: reverse(
        f"labelling:{name}", kwargs={"goal_id": goal.pk, **kwargs}
    )


@pytest.fixture
def dataset_url(goal: Goal) -> Callable[..., str]:
    return lambda name, **kwargs: reverse(f"datasets:{name}", kwargs={"goal_id": goal.pk, **kwargs})


@pytest.fixture
def add_examples(dataset: Dataset, owner) -> Callable[..., Dataset]:
    """Add `count` answered examples, or the given rows."""

    def add(count: int = 60, rows: list[dict] | None = None) -> Dataset:
        rows = rows or [{"messages": conversation(*pair(n)), "split": ""} for n in range(count)]
        add_rows(dataset=dataset, by=owner, rows=rows, source="emails.csv")
        return dataset

    return add
