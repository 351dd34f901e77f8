"""Creates the sample goal, ready to train."""

import math

from django.db import transaction

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels import services as basemodels
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.basemodels.models import Speed
from finetune_app.datasets import services as datasets
from finetune_app.goals import services as goals
from finetune_app.goals.models import Goal
from finetune_app.guide.sample import sample
from finetune_app.jobs.worker_machines import training_machine
from finetune_app.versions.services import freeze

DEFAULT_MINUTES = 6  # until the speed of this machine is measured
EVALUATION_SHARE = 0.5  # of the training's time: answering, the general check


def create_sample(*, team: Team, user: User | None) -> Goal:
    """A goal with a frozen dataset and the starter model chosen; only the training is missing."""
    found = sample()
    with transaction.atomic():
        goal = goals.create_goal(
            team=team,
            user=user,
            name=found.name,
            description=found.description,
            kind=found.kind,
            pairs=found.pairs,
            is_sample=True,
        )
        goals.choose_measure(goal=goal, kind=found.measure, settings=found.measure_settings)
        dataset = datasets.dataset_of(goal)
        datasets.add_rows(dataset=dataset, by=user, rows=found.rows, source=found.file_name)
        freeze(dataset=dataset, by=user)
        if basemodels.is_installed(STARTER):
            basemodels.choose(goal=goal, slug=STARTER, user=user)
    return goal


def sample_minutes() -> int:
    """About how long the sample takes, at the measured speed of the device that will train."""
    device = training_machine().device
    measured = Speed.objects.filter(what="training", base_model__slug=STARTER, device=device)
    speed = measured.first()
    if speed is None:
        return DEFAULT_MINUTES
    found = sample()
    seconds = found.training_tokens / speed.tokens_per_second * (1 + EVALUATION_SHARE)
    return max(1, math.ceil(seconds / 60))
