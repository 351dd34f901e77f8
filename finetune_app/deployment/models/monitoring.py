"""Requests added up, and whether what is said is kept."""

from django.db import models

from finetune_app.accounts.models import Team, User
from finetune_app.deployment.models.deployment import Deployment, Release


class Hour(models.Model):
    """What the requests of an hour came to, for each key and version (monitoring/hours.py)."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="hours", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    key = models.ForeignKey(
        "api_keys.ApiKey",
        null=True,
        on_delete=models.SET_NULL,
        related_name="hours",
        db_index=False,
    )
    at = models.DateTimeField()  # its beginning
    requests = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()
    prompt_tokens = models.PositiveBigIntegerField()
    tokens = models.PositiveBigIntegerField()
    busy = models.FloatField()  # this machine's seconds; shared by those who ran at the same time

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "at"]),
            models.Index(fields=["key", "at"]),
        ]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%Y-%m-%d %H}: {self.requests}"


class HourPace(models.Model):
    """How long the answers of an hour took and were, and what failed; of a deployment's version."""

    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="paces", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()
    waited = models.JSONField(default=dict)  # counts by step of pace.py
    first = models.JSONField(default=dict)
    lengths = models.JSONField(default=dict)  # counts by tokens, of answers in words
    refused = models.PositiveIntegerField(default=0)  # of those
    errors = models.JSONField(default=dict)  # counts by code

    class Meta:
        indexes = [models.Index(fields=["deployment", "at"])]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%Y-%m-%d %H}"


class HoursUpTo(models.Model):
    """The one row that says which hours are added up."""

    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"up to {self.until:%Y-%m-%d %H}"


class Keeping(models.Model):
    """Whether a deployment keeps what is said, and for how long. No row: it keeps nothing."""

    deployment = models.OneToOneField(Deployment, on_delete=models.CASCADE, related_name="keeping")
    on = models.BooleanField(default=False)
    percent = models.PositiveSmallIntegerField(default=100)  # of requests
    days = models.PositiveSmallIntegerField(default=30)  # then the texts are deleted
    queues = models.BooleanField(default=False)  # bad answers go to the labelling queue unasked
    least_confidence = models.FloatField(null=True, blank=True)  # below it an answer counts as bad
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    since = models.DateTimeField(null=True, blank=True)  # switched on, by them

    def __str__(self) -> str:
        return f"{self.deployment}: {'on' if self.on else 'off'}"
