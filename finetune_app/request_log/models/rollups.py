"""Requests aggregated by hour (see rollups.py)."""

from django.db import models

from finetune_app.accounts.models import Team
from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.models import Deployment, Release


class HourlyUsage(models.Model):
    """Counts of one hour for each deployment, release and key."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="hourly_usage", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    key = models.ForeignKey(
        ApiKey, null=True, on_delete=models.SET_NULL, related_name="hourly_usage", db_index=False
    )
    at = models.DateTimeField()  # start of the hour
    requests = models.PositiveIntegerField()
    failed = models.PositiveIntegerField()
    prompt_tokens = models.PositiveBigIntegerField()
    tokens = models.PositiveBigIntegerField()
    busy_seconds = models.FloatField()  # of this machine; shared by concurrent requests

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "at"]),
            models.Index(fields=["key", "at"]),
        ]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%Y-%m-%d %H}: {self.requests}"


class HourlyAnswers(models.Model):
    """Histograms and error counts of one hour for each release of a deployment."""

    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="hourly_answers", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField()  # start of the hour
    latency = models.JSONField(default=dict)  # counts by bucket (histogram.py)
    first_token = models.JSONField(default=dict)  # the same, until the first token
    lengths = models.JSONField(default=dict)  # the same, in tokens; text answers only
    refused = models.PositiveIntegerField(default=0)  # of the text answers
    errors = models.JSONField(default=dict)  # counts by error code

    class Meta:
        indexes = [models.Index(fields=["deployment", "at"])]

    def __str__(self) -> str:
        return f"{self.deployment_id} {self.at:%Y-%m-%d %H}"


class RollupCursor(models.Model):
    """A single row: every hour before `until` is rolled up."""

    until = models.DateTimeField()

    def __str__(self) -> str:
        return f"up to {self.until:%Y-%m-%d %H}"
