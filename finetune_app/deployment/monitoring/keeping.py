"""Keeping what is said to a deployment: only where somebody switched it on, without the personal
data in it, and only for as long as they said. Deleting is deleting: the texts are gone from the
database, the figures (which hold no text) stay."""

import random
import re
import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from finetune_app.accounts.models import User
from finetune_app.deployment.models import Deployment, Feedback, Keeping, Request, Transcript
from finetune_app.deployment.monitoring import drift
from finetune_app.deployment.monitoring.redaction import redact

Messages = Sequence[dict[str, Any]]
MOST_MESSAGES = 100  # of a conversation; what is older than these is left out
MOST_WORDS = 20_000  # characters that can be searched
AT_ONCE = 500  # texts deleted in one transaction
PATIENCE = 1.0  # seconds of one turn of the clock

_WORD = re.compile(r"\w+")


def of(deployment: Deployment) -> Keeping:
    """Its row, or one that keeps nothing and is not stored yet."""
    return Keeping.objects.filter(deployment=deployment).first() or Keeping(deployment=deployment)


def change(
    *,
    deployment: Deployment,
    by: User,
    on: bool,
    percent: int = 100,
    days: int = 30,
    queues: bool = False,
    least_confidence: float | None = None,
) -> Keeping:
    """Switch it on or off. Other days count for what is kept already, too; off deletes nothing by
    itself (see `forget_all`), but what is there still goes when its days are over."""
    with transaction.atomic():
        kept, _new = Keeping.objects.select_for_update().get_or_create(deployment=deployment)
        if on and not kept.on:
            kept.by, kept.since = by, timezone.now()
        kept.on, kept.percent, kept.days, kept.queues = on, percent, days, queues
        kept.least_confidence = least_confidence
        kept.save()
    return kept


def keep(request: Request, messages: Messages, answer: str) -> Transcript | None:
    """Keep what was said in this request, where its deployment does and its turn has come."""
    if request.deployment_id is None:
        return None
    kept = Keeping.objects.filter(deployment=request.deployment_id, on=True).first()
    if kept is None or random.random() * 100 >= kept.percent:
        return None
    clean, count = [], 0
    for message in messages[-MOST_MESSAGES:]:
        text, found = redact(text_of(message.get("content")))
        clean.append({"role": str(message.get("role", "user")), "content": text})
        count += found
    said, found = redact(answer)
    prompt = next((m["content"] for m in reversed(clean) if m["role"] == "user"), "")
    return Transcript.objects.create(
        request=request,
        deployment_id=request.deployment_id,
        messages=clean,
        answer=said,
        prompt=prompt,
        words=searchable(prompt, said),
        redacted=count + found,
    )


def text_of(content: Any) -> str:
    """A message's text, whether it is one or made of parts; pictures are never kept."""
    if isinstance(content, list):
        return "\n".join(str(part.get("text") or "") for part in content if isinstance(part, dict))
    return str(content or "")


def searchable(*texts: str) -> str:
    """ " the pump leaks ": every word between spaces, whatever its capitals."""
    words = " ".join(_WORD.findall(" ".join(texts).casefold()))
    return f" {words[:MOST_WORDS]} "


def wanted_words(text: str) -> list[str]:
    """What a search asks for: each of them has to be there, as a whole word."""
    return [f" {word} " for word in _WORD.findall(text.casefold())[:12]]


# ---- Forgetting ----


def forget(request: Request) -> None:
    """The text of one request, and what was written about it."""
    with transaction.atomic():
        Transcript.objects.filter(request=request).delete()
        Feedback.objects.filter(request=request).update(comment="", expected="")


def forget_all(deployment: Deployment) -> int:
    """Every text of a deployment; how many."""
    count = Transcript.objects.filter(deployment=deployment).count()
    while _forget_some(Transcript.objects.filter(deployment=deployment)):
        pass
    Feedback.objects.filter(deployment=deployment).update(comment="", expected="")
    drift.forget_words(deployment)
    return count


def forget_old() -> bool:
    """Texts whose days are over, for a second; True when there are more."""
    began = time.monotonic()
    for kept in Keeping.objects.all():
        drift.forget_old_words(kept)
        over = timezone.now() - timedelta(days=kept.days)
        old = Transcript.objects.filter(deployment=kept.deployment_id, request__at__lte=over)
        while _forget_some(old):
            if time.monotonic() - began > PATIENCE:
                return True
    return False


def _forget_some(transcripts: "QuerySet[Transcript]") -> bool:
    """The first of them, in a transaction of its own; False when none is left."""
    keys = list(transcripts.order_by().values_list("pk", flat=True)[:AT_ONCE])
    if not keys:
        return False
    with transaction.atomic():
        Transcript.objects.filter(pk__in=keys).delete()
        Feedback.objects.filter(request__in=keys).update(comment="", expected="")
    return True
