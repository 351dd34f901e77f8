"""What people think of answers, and what becomes of the bad ones: rows to answer in the dataset.

A row made of a request has the redacted question and no answer; what somebody said it should have
been stands beside it as a suggestion. It counts for nothing until a person has answered it.
"""

import math

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import Dataset, Example, Status
from finetune_app.datasets.services.locking import lock
from finetune_app.datasets.text import prompt_hash
from finetune_app.deployment.models import Deployment, Feedback, Keeping, Request, Transcript
from finetune_app.deployment.monitoring import metrics
from finetune_app.deployment.monitoring.redaction import redact
from finetune_app.labelling import suggestions

LONGEST = 10_000  # characters of a comment, and of what was expected
AT_ONCE = 200  # rows made with one click


def give(
    *,
    request: Request,
    rating: int,
    comment: str = "",
    expected: str = "",
    by: User | None = None,
) -> Feedback:
    """Keep an opinion. Its words are kept only where the words of the request are, and as they
    are: without personal data."""
    transcript = Transcript.objects.filter(request=request).first()
    words = {
        name: redact(text[:LONGEST]).text.strip() if transcript else ""
        for name, text in (("comment", comment), ("expected", expected))
    }
    feedback, _new = Feedback.objects.update_or_create(
        request=request,
        defaults={
            "rating": rating,
            "by": by,
            "at": timezone.now(),
            "release_id": request.release_id,
            "deployment_id": request.deployment_id,
            **words,
        },
    )
    metrics.THUMBS.labels(
        metrics.named(request.deployment.name if request.deployment else None),
        "up" if rating > 0 else "down",
    ).inc()
    if transcript and rating == Feedback.DOWN and (transcript.example_id or _by_itself(request)):
        to_queue(transcript=transcript, by=by)
    return feedback


def take_back(*, request: Request) -> None:
    Feedback.objects.filter(request=request).delete()


def notice(request: Request, transcript: Transcript) -> None:
    """Queue an answer that the model itself was unsure of, where that is switched on."""
    kept = _by_itself(request)
    if kept and _is_unsure(request, kept):
        to_queue(transcript=transcript, by=None)


def _by_itself(request: Request) -> Keeping | None:
    """What its deployment keeps, where bad answers are queued unasked."""
    return Keeping.objects.filter(deployment=request.deployment_id, on=True, queues=True).first()


def _is_unsure(request: Request, kept: Keeping) -> bool:
    least = log_of(kept.least_confidence)
    return least is not None and request.confidence is not None and request.confidence < least


def log_of(probability: float | None) -> float | None:
    """As the engine counts: the logarithm of a probability; None where none was set."""
    return math.log(probability) if probability else None


def bad(deployment: Deployment) -> "QuerySet[Transcript]":
    """Kept requests whose answer was not helpful or unsure, and of which no row was made yet."""
    down = Feedback.objects.filter(deployment=deployment, rating=Feedback.DOWN)
    wanted = down.order_by().values("request")
    kept = Keeping.objects.filter(deployment=deployment).first()
    least = log_of(kept.least_confidence) if kept else None
    if least is not None:
        unsure = Request.objects.filter(deployment=deployment, confidence__lt=least)
        wanted = wanted.union(unsure.order_by().values("pk"))
    # By those few requests, not by the deployment: it may have kept a million texts.
    found = Transcript.objects.filter(request__in=wanted, example=None).exclude(prompt="")
    return found.order_by("request")


def queue_all(*, deployment: Deployment, by: User) -> int:
    """A row to answer for each bad answer; how many questions are new to the dataset."""
    new = 0
    for transcript in bad(deployment).select_related("request")[:AT_ONCE]:
        _example, made = to_queue(transcript=transcript, by=by)
        new += made
    return new


def to_queue(*, transcript: Transcript, by: User | None) -> tuple[Example, bool]:
    """(the row of the dataset that asks this, whether it is new). The same question makes one
    row, however often it went wrong; what somebody expected is suggested for it."""
    request = transcript.request
    dataset = datasets.dataset_of(transcript.deployment.goal)
    with transaction.atomic():
        lock(dataset)
        texts = Transcript.objects.select_for_update(of=("self",)).select_related("example")
        held = texts.get(pk=transcript.pk)
        if held.example is not None:
            _suggest(held.example, request)  # what was expected may have been said since
            return held.example, False
        same = dataset.examples.kept().filter(prompt_hash=prompt_hash(held.messages)).first()
        new = same is None
        example = same or _made(dataset, held, by)
        Transcript.objects.filter(pk=held.pk).update(example=example)
    _suggest(example, request)
    return example, new


def _suggest(example: Example, request: Request) -> None:
    """What somebody expected stands beside the row, once: who sent it away is not asked again."""
    opinion = Feedback.objects.filter(request=request).first()
    if not opinion or not opinion.expected:
        return
    if not example.suggestions.filter(candidate_id=0, answer=opinion.expected).exists():
        suggestions.add_suggestion(
            example_id=example.pk,
            candidate_id=0,
            answer=opinion.expected,
            source=_("somebody who used %(name)s") % {"name": request.model},
        )


def _made(dataset: Dataset, transcript: Transcript, by: User | None) -> Example:
    request = transcript.request
    number = request.release.number if request.release else 0
    source = _("in use: %(name)s, version %(n)d") % {"name": request.model, "n": number}
    datasets.add_rows(
        dataset=dataset,
        by=by,
        rows=[{"messages": transcript.messages, "split": ""}],
        source=source,
        status=Status.PENDING,
    )
    return dataset.examples.latest("number")
