"""A goal that is ready to train, and the addresses of its training pages."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.goals.models import Goal
from finetune_app.training import services
from finetune_app.training.models import Training
from tests import journey


@pytest.fixture
def ready(goal, owner) -> Goal:
    return journey.ready(goal, owner)


@pytest.fixture
def waiting(ready, owner) -> Training:
    """Started, and no worker has taken it yet."""
    return services.start(goal=ready, user=owner)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, *number: reverse(f"training:{name}", args=[goal.pk, *number])
