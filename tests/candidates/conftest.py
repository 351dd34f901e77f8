"""A trained goal and the addresses of its chat; a goal at the workbench and who answers there."""

from collections.abc import Callable, Iterator

import pytest
from django.urls import reverse

from finetune_app.core import engine
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training
from tests import path, remote
from tests.candidates.desk import Voice


@pytest.fixture(autouse=True)
def _strict(monkeypatch) -> None:
    """A test run allows the database in asynchronous code, for the browser's sake; not here."""
    monkeypatch.delenv("DJANGO_ALLOW_ASYNC_UNSAFE", raising=False)


@pytest.fixture
def trained(goal, owner) -> Training:
    return path.trained(path.ready(goal, owner), owner)


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name: reverse(f"candidates:{name}", args=[goal.pk])


@pytest.fixture
def platform(settings) -> Iterator[remote.Platform]:
    """A model elsewhere, which is a real server on this machine that the operator allowed."""
    with remote.running() as platform:
        settings.ENDPOINTS_ALLOWED = frozenset({platform.place})
        yield platform


@pytest.fixture
def bench(goal, owner) -> Goal:
    """A goal with examples, a measure and a model; nothing trained."""
    return path.ready(goal, owner)


@pytest.fixture
def at(goal) -> Callable[..., str]:
    return lambda name="workbench", *ids: reverse(f"candidates:{name}", args=[goal.pk, *ids])


@pytest.fixture
def voice(monkeypatch) -> Voice:
    voice = Voice()
    monkeypatch.setattr(engine, "stream_chat", voice)
    return voice
