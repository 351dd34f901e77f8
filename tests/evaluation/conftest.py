"""A trained model, evaluated by a measure or by blind votes."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse

from finetune_app.evaluation.held_out import HeldOutPrompt
from finetune_app.evaluation.models import Evaluation
from finetune_app.evaluation.votes import links
from finetune_app.goals import services as goals
from finetune_app.training.models import Training
from tests import journey
from tests.deployment_fixtures import separate_rate_limits  # noqa: F401
from tests.knowledge.conftest import committed, knowledge  # noqa: F401


@pytest.fixture
def trained(goal, owner) -> Training:
    return journey.trained(journey.ready(goal, owner), owner)


@pytest.fixture
def tested(trained, owner) -> Evaluation:
    return journey.evaluated(trained, owner)


@pytest.fixture
def ballot(goal, owner) -> Evaluation:
    """An evaluation by blind choice: base and tuned give different answers."""
    goals.choose_measure(goal=goal, kind="choice", settings={})
    training = journey.trained(journey.ready(goal, owner), owner)
    return journey.evaluated(training, owner, say=different_answers)


def different_answers(prompt: HeldOutPrompt, kind: str) -> tuple[str, None]:
    return (f"Long and winding {prompt.index}" if kind == "base" else f"Short {prompt.index}", None)


@pytest.fixture
def compared(trained, owner):
    """Evaluated by a measure, and each prompt answered differently."""

    def say(prompt, kind):
        return different_answers(prompt, kind)[0], kind == "tuned"

    return journey.evaluated(trained, owner, say=say)


@pytest.fixture
def address(compared, owner) -> str:
    return address_of(compared, owner)


def address_of(evaluation, by, **given) -> str:
    _link, secret = links.create_link(evaluation=evaluation, by=by, days=14, **given)
    return f"/vote/{secret}/"


@pytest.fixture
def guest(address) -> Client:
    """A browser whose person has begun to vote."""
    browser = Client()
    browser.post(address, {"start": "1", "name": "Lena"})
    return browser


@pytest.fixture
def url(goal) -> Callable[..., str]:
    return lambda name, *pk: reverse(f"evaluation:{name}", args=[goal.pk, *pk])
