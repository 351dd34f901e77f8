"""Batches, and their requests while they are being answered."""

import uuid
from datetime import datetime

from django.db import models

from finetune_app.accounts.models import Team
from finetune_app.api_keys.models import ApiKey
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.jobs.models import Job


class Batch(models.Model):
    """A file of requests that a program has handed in."""

    class Status(models.TextChoices):
        """OpenAI's names. Each but the first has a time of its own in the model."""

        VALIDATING = "validating"
        FAILED = "failed"
        IN_PROGRESS = "in_progress"
        FINALIZING = "finalizing"
        COMPLETED = "completed"
        EXPIRED = "expired"
        CANCELLING = "cancelling"
        CANCELLED = "cancelled"

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="batches")
    # None: it was deleted, and the requests that are left are refused.
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+")
    job = models.OneToOneField(Job, on_delete=models.CASCADE, related_name="batch")
    endpoint = models.CharField(max_length=40)
    # None: it was deleted; its public id stays.
    input_file = models.ForeignKey(
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="batches"
    )
    input_id = models.CharField(max_length=64)
    output_file = models.OneToOneField(
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="output_of"
    )
    error_file = models.OneToOneField(
        ApiFile, null=True, on_delete=models.SET_NULL, related_name="errors_of"
    )
    files_written = models.BooleanField(default=False)  # then the requests are forgotten
    output_lifetime = models.DurationField(null=True)  # of both files; None: they stay
    model = models.CharField(max_length=255, blank=True)  # of all requests
    metadata = models.JSONField(default=dict)
    # What is wrong with the input file: {"code", "message", "param", "line"} each.
    errors = models.JSONField(default=list)

    total = models.PositiveIntegerField(default=0)  # requests
    completed = models.PositiveIntegerField(default=0)
    failed = models.PositiveIntegerField(default=0)
    input_tokens = models.PositiveBigIntegerField(default=0)
    output_tokens = models.PositiveBigIntegerField(default=0)
    reasoning_tokens = models.PositiveBigIntegerField(default=0)  # of `output_tokens`
    setbacks = models.PositiveIntegerField(default=0)  # slices in a row in which the engine failed

    status = models.CharField(max_length=12, choices=Status.choices, default=Status.VALIDATING)
    public_id = models.UUIDField(default=uuid.uuid4, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()  # nothing is asked after it
    in_progress_at = models.DateTimeField(null=True)
    finalizing_at = models.DateTimeField(null=True)
    completed_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    expired_at = models.DateTimeField(null=True)
    cancelling_at = models.DateTimeField(null=True)
    cancelled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "batches"

    def __str__(self) -> str:
        return self.api_id

    @property
    def api_id(self) -> str:
        return f"batch_{self.public_id.hex}"

    def time_of(self, status: str) -> datetime | None:
        """When it came to this status."""
        found: datetime | None = getattr(self, f"{status}_at")
        return found


ENDED = (
    Batch.Status.FAILED,
    Batch.Status.COMPLETED,
    Batch.Status.EXPIRED,
    Batch.Status.CANCELLED,
)


class BatchRequest(models.Model):
    """One line of the input file, until the output files are written."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="requests")
    line = models.PositiveIntegerField()  # from 1
    custom_id = models.CharField(max_length=512)
    offset = models.BigIntegerField()  # of its line in the input file, in bytes
    length = models.PositiveIntegerField()  # of its line, in bytes
    status_code = models.PositiveSmallIntegerField(null=True)  # None: it has no answer yet
    body = models.TextField(blank=True)  # JSON: what the endpoint answers

    class Meta:
        ordering = ["line"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "line"], name="one_request_a_line"),
        ]
        indexes = [
            models.Index(
                fields=["batch", "line"],
                condition=models.Q(status_code=None),
                name="unanswered_requests",
            ),
        ]

    def __str__(self) -> str:
        return self.custom_id
