"""A goal that is ready to train, a search of it, and the addresses of its pages."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.goals.models import Goal
from finetune_app.hyperparameter_search import services
from finetune_app.hyperparameter_search.models import HyperparameterSearch
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job
from tests import journey


@pytest.fixture
def ready(goal, owner, monkeypatch) -> Goal:
    monkeypatch.setattr(services, "MIN_PRACTICE", 5)
    return journey.ready(goal, owner)


@pytest.fixture
def waiting(ready, owner) -> HyperparameterSearch:
    """Started, and no worker has taken it yet."""
    return services.start(goal=ready, user=owner)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, *number: reverse(f"hyperparameter_search:{name}", args=[goal.pk, *number])


def reach(
    search: HyperparameterSearch,
    trial: int,
    rung: int,
    score: float | None,
    loss: float | None = 1.0,
) -> None:
    """A worker says what a trial reached."""
    event = {
        "event": "trial",
        "trial": trial,
        "rung": rung,
        "step": 10 * (rung + 1),
        "score": score,
        "loss": loss,
        "general_ability": 0.99,
        "prompts": 20,
    }
    handler_for(search.job).record(search.job, event)


def finish(search: HyperparameterSearch, winner: int) -> HyperparameterSearch:
    """The worker's child is done."""
    for trial, score in ((0, 0.5), (1, 0.75)):
        reach(search, trial, 2, score)
    journey.end(Job.objects.get(pk=search.job_id), winner=winner, stopped=False, seconds=700.0)
    return HyperparameterSearch.objects.get(pk=search.pk)
