"""A goal with and without a training, URLs of the chat and the workbench, and fake engines."""

from collections.abc import Callable, Iterator

import pytest
from django.urls import reverse

from finetune_app.core import engine_client
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training
from tests import fake_provider, journey
from tests.candidates.workbench_helpers import FakeEngine


@pytest.fixture(autouse=True)
def _strict(monkeypatch) -> None:
    """Forbid database access in async code, which the test run allows for browser tests."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)


@pytest.fixture
def trained(goal, owner) -> Training:
    return journey.trained(journey.ready(goal, owner), owner)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name: reverse(f"candidates:{name}", args=[goal.pk])


@pytest.fixture
def platform(settings) -> Iterator[fake_provider.Platform]:
    """A remote provider: a real server on this machine that the operator has allowed."""
    with fake_provider.running() as platform:
        settings.ENDPOINTS_ALLOWED = frozenset({platform.place})
        yield platform


@pytest.fixture
def ready_goal(goal, owner) -> Goal:
    """A goal with examples, a measure and a model; nothing trained."""
    return journey.ready(goal, owner)


@pytest.fixture
def at(goal) -> Callable[..., str]:
    return lambda name="workbench", *ids: reverse(f"candidates:{name}", args=[goal.pk, *ids])


@pytest.fixture
def fake_engine(monkeypatch) -> FakeEngine:
    fake_engine = FakeEngine()
    monkeypatch.setattr(engine_client, "stream_chat", fake_engine)
    return fake_engine


@pytest.fixture
def engine_requests(monkeypatch):
    """Requests to an engine that answers at once."""
    asked = []

    async def stream_chat(base_model, requests, **options):
        asked.append({"base_model": base_model, "requests": requests, **options})
        for request in requests:
            yield {"candidate": request["candidate"], "text": f"{request['candidate']} says "}
            yield {"candidate": request["candidate"], "text": "hello"}
            yield {"candidate": request["candidate"], "done": True}

    monkeypatch.setattr(engine_client, "stream_chat", stream_chat)
    return asked
