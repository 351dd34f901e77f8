"""Requests to the API, their texts, and the feedback given on their answers."""

import math

from django.db import models
from django.db.models import Q
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts.models import Team, User
from finetune_app.api_keys.models import ApiKey
from finetune_app.datasets.models import Example
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.models import Goal

ERROR_LABELS = {
    "engine_busy": _("The model was busy"),
    "engine_unavailable": _("The model was away"),
    "context_length_exceeded": _("The conversation was too long"),
    "question_refused": _("The model elsewhere did not take it"),
    "model_paused": _("It was paused"),
    "model_not_ready": _("The model was not ready"),
    "model_not_found": _("No such model"),
    "model_failed": _("The model broke down"),
    "gone": _("They left before the end"),
    "server_error": _("An error on our side"),
}


def error_label(code: str) -> str:
    """An error code in words. Client errors share one label: only the client gets the details."""
    return str(ERROR_LABELS.get(code, _("It could not be read")))


class RequestQuerySet(models.QuerySet["Request"]):
    def of_goal(self, goal: Goal) -> "RequestQuerySet":
        """Requests of the goal's deployment, with everything that their page shows."""
        found = self.filter(deployment__goal=goal).select_related(
            "key", "release__candidate", "transcript__example", "feedback", "deployment"
        )
        return found.with_stored_response()

    def with_stored_response(self) -> "RequestQuerySet":
        """With their stored response, but not what it says. After any `select_related`."""
        return self.select_related("stored_response").defer(
            "stored_response__input", "stored_response__response"
        )


class Request(models.Model):
    """One call of the API and how it went. Its text, if kept, is a Transcript."""

    team = models.ForeignKey(Team, on_delete=models.CASCADE, related_name="+")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="requests"
    )
    release = models.ForeignKey(
        Release, null=True, on_delete=models.SET_NULL, related_name="requests", db_index=False
    )
    key = models.ForeignKey(ApiKey, null=True, on_delete=models.SET_NULL, related_name="+")
    model = models.CharField(max_length=120)  # as the client named it
    status = models.PositiveSmallIntegerField()  # of HTTP; 499: the client disconnected
    error = models.CharField(max_length=60, blank=True)  # error code
    streamed = models.BooleanField(default=False)
    prompt_tokens = models.PositiveIntegerField(default=0)
    tokens = models.PositiveIntegerField(default=0)  # generated
    first_seconds = models.FloatField(null=True, blank=True)  # until the first token
    seconds = models.FloatField(default=0)
    at = models.DateTimeField(default=timezone.now)  # when it ended
    reply_id = models.CharField(max_length=60, blank=True)  # id of the reply the client got
    # Whether the answer begins like a refusal (“I’m sorry, but I can’t”). None: there was no text
    # answer, or the request is older than this field.
    refused = models.BooleanField(null=True, blank=True)
    # Mean log-probability of the generated tokens, where the engine reports it.
    confidence = models.FloatField(null=True, blank=True)

    objects = RequestQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        indexes = [
            # Includes the seconds, so that slow requests are found without reading the others.
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
    def token_probability(self) -> float | None:
        """Geometric mean of the probabilities of the generated tokens, 0 to 1."""
        return None if self.confidence is None else math.exp(min(self.confidence, 0.0))

    @property
    def error_label(self) -> str:
        return error_label(self.error)


class Transcript(models.Model):
    """The messages and the answer of a request, redacted (redaction.py)."""

    request = models.OneToOneField(
        Request, primary_key=True, on_delete=models.CASCADE, related_name="transcript"
    )
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="transcripts", db_index=False
    )
    messages = models.JSONField(default=list)
    answer = models.TextField(blank=True)
    prompt = models.TextField(blank=True)  # the last user message, for lists
    words = models.TextField(blank=True)  # of prompt and answer, for search: " the pump leaks "
    redacted = models.PositiveIntegerField(default=0)  # number of spans removed
    example = models.ForeignKey(
        Example, null=True, on_delete=models.SET_NULL, related_name="+", db_index=False
    )  # the dataset row made from it

    class Meta:
        indexes = [
            models.Index(fields=["deployment", "request"]),
            # Partial: otherwise SQLite starts from the million rows without an example.
            models.Index(
                fields=["example"],
                condition=Q(example__isnull=False),
                name="transcript_by_example",
            ),
        ]

    def __str__(self) -> str:
        return f"text of request {self.request_id}"


class StoredResponse(models.Model):
    """A response of the Responses API, redacted (stored_responses.py)."""

    request = models.OneToOneField(
        Request, primary_key=True, on_delete=models.CASCADE, related_name="stored_response"
    )
    deployment = models.ForeignKey(
        Deployment, on_delete=models.CASCADE, related_name="stored_responses"
    )
    response_id = models.CharField(max_length=60, unique=True)
    previous_id = models.CharField(max_length=60, blank=True)  # the response that it goes on from
    input = models.JSONField(default=list)  # items, without those of the previous response
    response = models.JSONField(default=dict)  # OpenAI's object

    def __str__(self) -> str:
        return self.response_id


class Feedback(models.Model):
    """A rating of one answer. A second rating of the same answer replaces the first."""

    UP, DOWN = 1, -1

    request = models.OneToOneField(Request, on_delete=models.CASCADE, related_name="feedback")
    deployment = models.ForeignKey(
        Deployment, null=True, on_delete=models.CASCADE, related_name="feedback", db_index=False
    )
    release = models.ForeignKey(Release, null=True, on_delete=models.SET_NULL, related_name="+")
    rating = models.SmallIntegerField(choices=[(UP, _("helpful")), (DOWN, _("not helpful"))])
    comment = models.TextField(blank=True)
    expected = models.TextField(blank=True)  # the answer it should have given
    by = models.ForeignKey(User, null=True, on_delete=models.SET_NULL, related_name="+")
    at = models.DateTimeField(default=timezone.now)

    class Meta:
        indexes = [models.Index(fields=["deployment", "rating", "at"])]

    def __str__(self) -> str:
        return f"{self.get_rating_display()}: request {self.request_id}"

    @property
    def is_up(self) -> bool:
        return self.rating == self.UP
