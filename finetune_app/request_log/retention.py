"""Stores the texts of requests where a team has switched that on, redacted and for limited time.

Deleting removes the text from the database; figures contain no text, and stay.
"""

import random
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import TypedDict

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from finetune_app.accounts.models import User
from finetune_app.core.capped_count import CappedCount, count_up_to
from finetune_app.core.chat_messages import Message
from finetune_app.core.retention import delete_in_batches, retention_end
from finetune_app.core.rows import rows
from finetune_app.datasets.text import last_content
from finetune_app.deployment.models import Deployment
from finetune_app.request_log.models import (
    Feedback,
    Request,
    Retention,
    StoredResponse,
    Transcript,
)
from finetune_app.request_log.redaction import MAX_CHARACTERS
from finetune_app.request_log.redactor import redactor
from finetune_app.request_log.rollups import rolled_up_until
from finetune_app.request_log.signals import texts_deleted

MAX_MESSAGES = 100  # of a conversation, the newest
MAX_TOTAL_CHARACTERS = 200_000  # of them together
MAX_SEARCH_CHARACTERS = 20_000
DELETE_BATCH = 500  # texts deleted in one transaction
DELETE_SECONDS = 1.0  # of one run of the periodic task

# In SQL, since each request asks it (docs/benchmarks/web.md).
IF_ON = 'SELECT * FROM request_log_retention WHERE deployment_id = {keys} AND "on"'

_WORD = re.compile(r"\w+")


class RetentionSettings(TypedDict):
    """Fields of Retention that a person chooses."""

    on: bool
    percent: int
    days: int
    queues: bool
    least_confidence: float | None


def settings_of(deployment: Deployment) -> Retention:
    """The settings of a deployment; an unsaved row that keeps nothing if there are none."""
    found: Retention | None = getattr(deployment, "retention", None)
    return found or Retention(deployment=deployment)


def change(
    *,
    deployment: Deployment,
    by: User,
    on: bool,
    percent: int = 100,
    days: int = 30,
    queues: bool = False,
    least_confidence: float | None = None,
) -> Retention:
    """Change what is kept. `days` applies to texts that are already stored, too. Switching it off
    deletes nothing at once (see `delete_all_texts`); stored texts still expire."""
    with transaction.atomic():
        retention, _new = Retention.objects.select_for_update().get_or_create(deployment=deployment)
        if on and not retention.on:
            retention.by, retention.since = by, timezone.now()
        retention.on, retention.percent, retention.days = on, percent, days
        retention.queues, retention.least_confidence = queues, least_confidence
        retention.save()
    return retention


def is_chosen(deployment_id: int) -> bool:
    """Draws whether the text of one request is kept: never where the deployment keeps none, else
    with the chosen percentage."""
    found = rows(Retention, IF_ON, [deployment_id])  # one, or none
    return bool(found) and random.random() * 100 < found[0].percent


def store_transcript(
    request: Request,
    messages: Sequence[Message],
    answer: str,
    keeps_text: bool | None = None,
) -> Transcript | None:
    """Store the redacted text of a request, if it is to be kept; None: that is drawn now."""
    if request.deployment_id is None:
        return None
    if keeps_text is None:
        keeps_text = is_chosen(request.deployment_id)
    if not keeps_text:
        return None
    latest = _latest(messages)
    *texts, redacted_answer = redactor.redact([*(one["content"] for one in latest), answer])
    clean: list[Message] = [
        {"role": message["role"], "content": redacted.text}
        for message, redacted in zip(latest, texts, strict=True)
    ]
    answer = redacted_answer.text
    prompt = last_content(clean, "user")
    return Transcript.objects.create(
        request=request,
        deployment_id=request.deployment_id,
        messages=clean,
        answer=answer,
        prompt=prompt,
        words=searchable(prompt, answer),
        redacted=sum(one.removed for one in [*texts, redacted_answer]),
    )


def _latest(messages: Sequence[Message]) -> list[Message]:
    """The newest messages, up to MAX_MESSAGES and MAX_TOTAL_CHARACTERS; the newest in any case."""
    latest: list[Message] = []
    total = 0
    for message in reversed(messages[-MAX_MESSAGES:]):
        total += min(len(message["content"]), MAX_CHARACTERS)
        if latest and total > MAX_TOTAL_CHARACTERS:
            break
        latest.insert(0, message)
    return latest


def count_texts(deployment: Deployment, most: int) -> CappedCount:
    """Requests of which a text is stored, as a transcript or as a response."""
    found = count_up_to(Transcript.objects.filter(deployment=deployment), most)
    if found.more:
        return found
    rows = found.rows + count_up_to(_responses_alone(deployment), most).rows
    return CappedCount(min(rows, most), rows > most)


def _responses_alone(deployment: Deployment) -> "QuerySet[StoredResponse]":
    """Those without a transcript: such as of requests with functions."""
    return StoredResponse.objects.filter(deployment=deployment, request__transcript=None)


def searchable(*texts: str) -> str:
    """ " the pump leaks ": case-folded words, each surrounded by spaces."""
    words = " ".join(_WORD.findall(" ".join(texts).casefold()))
    return f" {words[:MAX_SEARCH_CHARACTERS]} "


def search_terms(text: str) -> list[str]:
    """The words of a search; a transcript has to contain each of them as a whole word."""
    return [f" {word} " for word in _WORD.findall(text.casefold())[:12]]


# ---- Deleting ----


def delete_text(request: Request) -> None:
    """Delete the text of one request, and the words of its feedback."""
    with transaction.atomic():
        Transcript.objects.filter(request=request).delete()
        StoredResponse.objects.filter(request=request).delete()
        Feedback.objects.filter(request=request).update(comment="", expected="")


def delete_all_texts(deployment: Deployment) -> int:
    """Delete every text of a deployment; returns of how many requests there were some."""
    count = Transcript.objects.filter(deployment=deployment).count()
    count += _responses_alone(deployment).count()
    while _delete_batch(Transcript.objects.filter(deployment=deployment)):
        pass
    StoredResponse.objects.filter(deployment=deployment).delete()
    Feedback.objects.filter(deployment=deployment).update(comment="", expected="")
    texts_deleted.send(Retention, deployment_id=deployment.pk, before=None)
    return count


def delete_expired() -> bool:
    """Delete expired texts for at most DELETE_SECONDS; True if there are more."""
    started = time.monotonic()
    for retention in Retention.objects.all():
        before = timezone.now() - timedelta(days=retention.days)
        texts_deleted.send(Retention, deployment_id=retention.deployment_id, before=before)
        expired = Transcript.objects.filter(
            deployment=retention.deployment_id, request__at__lte=before
        )
        while _delete_batch(expired):
            if time.monotonic() - started > DELETE_SECONDS:
                return True
        responses = StoredResponse.objects.filter(
            deployment=retention.deployment_id, request__at__lte=before
        )
        if delete_in_batches(responses):
            return True
    return False


def delete_old_requests() -> bool:
    """Delete requests older than REQUEST_LOG_DAYS with their texts and ratings, for at most a
    second; True if there are more. What no rollup holds yet stays, so that figures stay right."""
    before = retention_end(settings.REQUEST_LOG_DAYS)
    if before is None:
        return False
    before = min(before, rolled_up_until())
    for deployment_id in Retention.objects.values_list("deployment_id", flat=True):
        texts_deleted.send(Retention, deployment_id=deployment_id, before=before)
    return delete_in_batches(Request.objects.filter(at__lt=before))


def _delete_batch(transcripts: "QuerySet[Transcript]") -> bool:
    """Delete the first of them in one transaction; False if there are none."""
    keys = list(transcripts.order_by().values_list("pk", flat=True)[:DELETE_BATCH])
    if not keys:
        return False
    with transaction.atomic():
        Transcript.objects.filter(pk__in=keys).delete()
        Feedback.objects.filter(request__in=keys).update(comment="", expected="")
    return True
