"""Settings: whether the texts of a deployment's requests are stored, and for how long."""

from django.db import models

from finetune_app.accounts.models import User
from finetune_app.deployment.models import Deployment


class Retention(models.Model):
    """Which texts of a deployment are stored. Without a row none are."""

    deployment = models.OneToOneField(
        Deployment, on_delete=models.CASCADE, related_name="retention"
    )
    on = models.BooleanField(default=False)
    percent = models.PositiveSmallIntegerField(default=100)  # of requests
    days = models.PositiveSmallIntegerField(default=30)  # until the texts are deleted
    queues = models.BooleanField(default=False)  # add bad answers to the labelling queue
    least_confidence = models.FloatField(null=True, blank=True)  # below it an answer counts as bad
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    since = models.DateTimeField(null=True, blank=True)  # when `by` switched it on

    def __str__(self) -> str:
        return f"{self.deployment}: {'on' if self.on else 'off'}"
