"""Trainings on Hugging Face Jobs: our own worker in a container there; the adapter comes back."""

import math
from decimal import Decimal

from django.db import models
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.basemodels.models import BaseModel
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.remote_training.models import SpendingCap, TrainingElsewhere
from finetune_app.remote_training.models import new_mark as new_mark  # for the first migration
from finetune_app.training.models import Training

OVER = ("COMPLETED", "ERROR", "CANCELED", "DELETED")  # stages


class HubJobsAccount(SpendingCap):
    """What a team lets Hugging Face Jobs have: money for a month, in dollars, and a token of their
    own. Encrypted, never shown; "" where they get the team's token of the hub."""

    team = models.OneToOneField(Team, on_delete=models.CASCADE, related_name="hub_jobs_account")
    secret = models.TextField(blank=True)

    def __str__(self) -> str:
        return "Hugging Face Jobs"


class HubTraining(TrainingElsewhere):
    """`spec` is that of a training here; `training` is what came of it: from then on a training
    like those of this machine."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="hub_trainings")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="hub_training")
    namespace = models.CharField(max_length=96)  # account or organisation that pays
    flavor = models.CharField(max_length=64)  # the hub's name of the machine
    image = models.CharField(max_length=200)
    timeout_seconds = models.PositiveIntegerField()
    # Dollars a minute, as the hub told when it was agreed to; the most it costs follows from it.
    price = models.DecimalField(max_digits=12, decimal_places=6)
    expected_cost = models.DecimalField(max_digits=12, decimal_places=4)

    data_commit = models.CharField(max_length=64, blank=True)  # set when all is sent
    stage = models.CharField(max_length=40, blank=True)  # the hub's own word
    events = models.JSONField(default=list)  # of the worker there: points, samples, warnings
    seconds = models.PositiveIntegerField(null=True, blank=True)  # since it was made there
    is_fetched = models.BooleanField(default=False)  # what came of it lies in `fetched_folder`
    left_there = models.TextField(blank=True)  # what could not be deleted there, and why
    training = models.OneToOneField(
        Training, null=True, blank=True, on_delete=models.SET_NULL, related_name="trained_on_hub"
    )

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["goal", "number"], name="one_hub_training_number")
        ]

    def __str__(self) -> str:
        return f"training {self.number} on the hub"

    @property
    def folder(self) -> str:
        """For what is being sent."""
        return f"hub/{self.pk}"

    @property
    def fetched_folder(self) -> str:
        """For what came back. It becomes the folder of its training, so nothing is copied."""
        return f"runs/hub-{self.pk}"

    @property
    def place(self) -> str:
        return _("the hub")

    @property
    def has_ended_there(self) -> bool:
        return self.stage in OVER

    @property
    def spent(self) -> Decimal | None:
        """The most that its minutes cost, a begun one as a whole; None while the hub does not tell
        them."""
        if self.seconds is None:
            return None
        minutes = min(math.ceil(self.seconds / 60), math.ceil(self.timeout_seconds / 60))
        return (self.price * minutes).quantize(Decimal("0.0001"))

    @property
    def cost(self) -> Decimal:
        """The most that it may cost, until it is over; then what it cost."""
        spent = self.spent if self.has_ended_there else None
        return self.expected_cost if spent is None else spent

    @property
    def data_repository(self) -> str:
        return f"{self.namespace}/finetune-{self.mark}"

    @property
    def result_repository(self) -> str:
        return f"{self.namespace}/finetune-{self.mark}-result"
