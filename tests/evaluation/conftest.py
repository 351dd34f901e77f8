"""A trained model, evaluated by a measure or by blind votes."""

from collections.abc import Callable

import pytest
from django.urls import reverse

from finetune_app.evaluation.held_out import HeldOutPrompt
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals import services as goals
from finetune_app.training.models import Training
from tests import journey
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
def url(goal) -> Callable[..., str]:
    return lambda name, *pk: reverse(f"evaluation:{name}", args=[goal.pk, *pk])
