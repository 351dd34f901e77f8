"""What was asked: how it went, what was said, what somebody thought of it."""

import math

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.datasets.models import Example
from finetune_app.deployment.models.deployment import Deployment, Release

TROUBLE = {
    "engine_busy": _("The model was busy"),
    "engine_unavailable": _("The model was away"),
    "context_length_exceeded": _("The conversation was too long"),
    "model_paused": _("It was paused"),
    "model_not_found": _("No such model"),
    "model_failed": _("The model broke down"),
    "gone": _("They went away before the end"),
    "server_error": _("A fault of ours"),
}


class Request(models.Model):
    """One call of the API: how it went. Its text, if kept, is a Transcript."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="requests"
    )
    release = models.ForeignKey(
        Release, null=True, on_delete=models.SET_NULL, related_name="requests", db_index=False
    )
    key = models.ForeignKey(
        "api_keys.ApiKey", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    model = models.CharField(max_length=120)  # as it was asked for
    status = models.PositiveSmallIntegerField()  # of HTTP; 499: they went away
    error = models.CharField(max_length=60, blank=True)  # its code
    streamed = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0)
    first_seconds = models.FloatField(null=True, blank=True)  # until the first piece of text
    seconds = models.FloatField(default=0)
    at = models.DateTimeField(default=timezone.now)  # when it was over
    reply_id = models.CharField(max_length=60, blank=True)  # what its asker was told
    # Whether its answer began as a refusal does (“I'm sorry, but I can't”); None: it had no answer
    # of words, or came before this was noted.
    refused = models.BooleanField(null=True, blank=True)
    # Mean log-probability of the tokens written, where the engine says it.
    confidence = models.FloatField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # With the seconds, so that the log finds slow ones without reading the others.
            models.Index(fields=["deployment", "at", "seconds"]),
            models.Index(fields=["key", "at"]),
            models.Index(fields=["release", "at"]),
            models.Index(fields=["at"]),
            models.Index(fields=["reply_id"], condition=~Q(reply_id=""), name="by_reply_id"),
            models.Index(
                fields=["deployment", "at"], condition=Q(status__gte=400), name="failed_requests"
            ),
            models.Index(
                fields=["deployment", "confidence"],
                condition=Q(confidence__isnull=False),
                name="requests_by_confidence",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.model}: {self.status}"

    @property
    def failed(self) -> bool:
        return self.status >= 400

    @property
    def sureness(self) -> float | None:
        """How probable the model held each token it wrote, on average (geometric): 0 to 1."""
        return None if self.confidence is None else math.exp(min(self.confidence, 0.0))

    @property
    def trouble(self) -> str:
        """What went wrong, in words; what its asker did wrong was told to them alone."""
        return str(TROUBLE.get(self.error, _("It could not be read")))


class Transcript(models.Model):
    """What was asked and answered, without the personal data in it (monitoring/redaction.py)."""

    request = models.OneToOneField(
        Request, primary_key=True, on_delete=models.CASCADE, related_name="transcript"
    )
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="transcript", db_index=False
    )
    messages = models.JSONField(default=list)
    answer = models.TextField(blank=True)
    prompt = models.TextField(blank=True)  # the last thing asked, for the list
    words = models.TextField(blank=True)  # of prompt and answer, to search: " the pump leaks "
    redacted = models.PositiveIntegerField(default=0)  # stretches taken out
    example = models.ForeignKey(
        Example, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )  # the row of the dataset that was made of it

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "request"]),
            # Only of the few that have one: else SQLite begins with the million that have none.
            models.Index(
                fields=["example"], condition=Q(example__isnull=False), name="transcript_by_example"
            ),
        ]

    def __str__(self) -> str:
        return f"text of request {self.request_id}"


class Feedback(models.Model):
    """What somebody thought of an answer. A second opinion on the same one replaces the first."""

    UP, DOWN = 1, -1

    request = models.OneToOneField(Request, on_delete=models.CASCADE, related_name="feedback")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="feedback", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    rating = models.SmallIntegerField(choices=[(UP, _("helpful")), (DOWN, _("not helpful"))])
    comment = models.TextField(blank=True)
    expected = models.TextField(blank=True)  # what it should have said
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["deployment", "rating", "at"])]

    def __str__(self) -> str:
        return f"{self.get_rating_display()}: request {self.request_id}"

    @property
    def is_up(self) -> bool:
        return self.rating == self.UP
