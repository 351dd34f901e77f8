import pytest
from django.urls import reverse

from finetune_app.candidates import services as candidates
from finetune_app.deployment import limits, services
from finetune_app.deployment.models import Deployment
from tests.journey import ready, trained


@pytest.fixture(autouse=True)
def _counts_of_their_own(monkeypatch):
    """Limits are counted in this process, afresh for each test."""
    from limits.storage import MemoryStorage

    limits._limiter.cache_clear()
    monkeypatch.setattr(limits, "_storage", MemoryStorage)
    yield
    limits._limiter.cache_clear()


@pytest.fixture
def tuned(goal, owner):
    return trained(ready(goal, owner), owner)


@pytest.fixture
def live(goal, owner, tuned) -> Deployment:
    candidate = candidates.tuned_candidate(training=tuned)
    return services.go_live(goal=goal, candidate=candidate, by=owner).deployment


@pytest.fixture
def url(goal):
    return lambda name, **ids: reverse(f"deployment:{name}", kwargs={"goal_id": goal.pk, **ids})
