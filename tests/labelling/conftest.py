"""A dataset, and the URLs of its pages."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal


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
