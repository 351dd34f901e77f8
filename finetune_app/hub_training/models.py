"""Trainings on Hugging Face Jobs: our own worker in a container there; the adapter comes back."""

import uuid

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.basemodels.models import BaseModel
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.training.models import Training
from finetune_app.versions.models import Version


def new_mark() -> str:
    return f"ft{uuid.uuid4().hex}"


class HubTraining(models.Model):
    """What it is to be is written before anything is sent. `training` is what came of it: from then
    on a training like those of this machine."""

    goal = models.ForeignKey(Goal, on_delete=models.CASCADE, related_name="hub_trainings")
    number = models.PositiveIntegerField()  # of the goal's trainings, here and elsewhere
    version = models.ForeignKey(Version, on_delete=models.CASCADE, related_name="+")
    base_model = models.ForeignKey(BaseModel, on_delete=models.PROTECT, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="hub_training")
    spec = models.JSONField(default=dict)  # frozen, as of a training here
    namespace = models.CharField(max_length=96)  # account or organisation that pays
    flavor = models.CharField(max_length=64)  # the hub's name of the machine
    image = models.CharField(max_length=200)
    timeout_seconds = models.PositiveIntegerField()
    # Dollars a minute, as the hub told when it was agreed to; the most it costs follows from it.
    price = models.DecimalField(max_digits=12, decimal_places=6)
    expected_cost = models.DecimalField(max_digits=12, decimal_places=4)

    mark = models.CharField(max_length=40, unique=True, default=new_mark, editable=False)
    data_commit = models.CharField(max_length=64, blank=True)  # set when all is sent
    start_tried_at = models.DateTimeField(null=True, blank=True)  # set before it is started there
    remote_id = models.CharField(max_length=200, blank=True)
    stage = models.CharField(max_length=40, blank=True)  # the hub's own word
    events = models.JSONField(default=list)  # of the worker there: points, samples, warnings
    seconds = models.PositiveIntegerField(null=True, blank=True)  # that it ran there
    is_fetched = models.BooleanField(default=False)  # what came of it lies in `folder`
    left_there = models.TextField(blank=True)  # what could not be deleted there, and why
    polls = models.PositiveIntegerField(default=0)
    failures = models.PositiveIntegerField(default=0)  # calls in a row without an answer
    times_unknown = models.PositiveIntegerField(default=0)  # of them, the last: it is not known
    training = models.OneToOneField(
        Training, null=True, blank=True, on_delete=models.SET_NULL, related_name="trained_on_hub"
    )
    agreed_by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-number"]
        constraints = [
            models.UniqueConstraint(fields=["goal", "number"], name="one_hub_training_number")
        ]

    def __str__(self) -> str:
        return f"training {self.number} on the hub"

    @property
    def folder(self) -> str:
        """For what is being sent, and for what came back until it is a training."""
        return f"hub/{self.pk}"

    @property
    def data_repository(self) -> str:
        return f"{self.namespace}/finetune-{self.mark}"

    @property
    def result_repository(self) -> str:
        return f"{self.namespace}/finetune-{self.mark}-result"
