"""Fixtures with a deployment, for apps whose pages and API need one."""

import pytest
from django.urls import reverse

from finetune_app.candidates import services as candidates
from finetune_app.core import rate_limiter
from finetune_app.deployment import services
from finetune_app.deployment.models import Deployment
from tests.journey import ready, trained


@pytest.fixture(autouse=True)
def separate_rate_limits(monkeypatch):
    """Count rate limits in this process, separately for each test."""
    from limits.storage import MemoryStorage

    rate_limiter.limiter.cache_clear()
    monkeypatch.setattr(rate_limiter, "_storage", MemoryStorage)
    yield
    rate_limiter.limiter.cache_clear()


@pytest.fixture
def tuned(goal, owner):
    return trained(ready(goal, owner), owner)


@pytest.fixture
def live(goal, owner, tuned) -> Deployment:
    candidate = candidates.tuned_candidate(training=tuned)
    return services.go_live(goal=goal, candidate=candidate, by=owner).deployment


@pytest.fixture
def url(goal):
    """The address of a page of the goal: "pause", or "playground:page" in another room."""

    def address(name: str, **ids) -> str:
        full_name = name if ":" in name else f"deployment:{name}"
        return reverse(full_name, kwargs={"goal_id": goal.pk, **ids})

    return address
