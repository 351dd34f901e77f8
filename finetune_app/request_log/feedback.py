"""Feedback on answers, and dataset rows made from bad ones.

Such a row has the redacted question and no answer, and is not used until a person answers it. The
answer that somebody expected becomes a suggestion for it, and the one that was rated down its worse
answer, so that both are a training pair.
"""

import math

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.capped_count import CappedCount, count_up_to
from finetune_app.core.errors import PlainError
from finetune_app.datasets import services as datasets
from finetune_app.datasets.models import BY_A_PERSON, Dataset, Example, Status
from finetune_app.datasets.services.editing import change_many
from finetune_app.datasets.services.locking import lock
from finetune_app.datasets.text import prompt_hash
from finetune_app.deployment.models import Deployment
from finetune_app.labelling import suggestions
from finetune_app.request_log import prometheus
from finetune_app.request_log.models import Feedback, Request, Retention, Transcript
from finetune_app.request_log.redactor import RedactionFailed, redactor
from finetune_app.request_log.retention import settings_of

MAX_COMMENT_CHARACTERS = 10_000  # of a comment, and of the expected answer
MAX_ROWS_AT_ONCE = 200  # rows made with one click


def give(
    *,
    request: Request,
    rating: int,
    comment: str = "",
    expected: str = "",
    by: User | None = None,
    may_queue: bool = True,
) -> Feedback:
    """Store a rating. Its texts are stored only where the text of the request is, and redacted.

    may_queue: False of somebody who may not change the dataset. Raises PlainError where the texts
    cannot be redacted just now; what was stored before stays.
    """
    transcript = Transcript.objects.filter(request=request).first()
    texts = {"comment": "", "expected": ""}
    if transcript:
        before = Feedback.objects.filter(request=request).values(*texts).first()
        given = {"comment": comment, "expected": expected}
        texts = given if given == before else _redacted(comment, expected)
    feedback, _new = Feedback.objects.update_or_create(
        request=request,
        defaults={
            "rating": rating,
            "by": by,
            "at": timezone.now(),
            "release_id": request.release_id,
            "deployment_id": request.deployment_id,
            **texts,
        },
    )
    prometheus.count_feedback(
        deployment_name=request.deployment.name if request.deployment else None, is_up=rating > 0
    )
    is_bad = rating == Feedback.DOWN and may_queue
    if transcript and is_bad and (transcript.example_id or _queueing_retention(request)):
        add_to_queue(transcript=transcript, by=by)
    return feedback


def _redacted(comment: str, expected: str) -> dict[str, str]:
    """Both without personal data."""
    given = [comment[:MAX_COMMENT_CHARACTERS], expected[:MAX_COMMENT_CHARACTERS]]
    try:
        texts = [found.text.strip() for found in redactor.redact(given)]
    except RedactionFailed:
        raise PlainError(
            _("Too much is being written down just now, so this was not saved. Try again."),
            status=503,
        ) from None
    return dict(zip(("comment", "expected"), texts, strict=True))


def withdraw(*, request: Request) -> None:
    Feedback.objects.filter(request=request).delete()


def queue_if_unsure(request: Request, transcript: Transcript) -> None:
    """Queue an answer that the model itself was unsure of, where that is switched on."""
    retention = _queueing_retention(request)
    if retention and _is_unsure(request, retention):
        add_to_queue(transcript=transcript, by=None)


def _queueing_retention(request: Request) -> Retention | None:
    """The settings of its deployment, if they queue bad answers automatically."""
    return Retention.objects.filter(deployment=request.deployment_id, on=True, queues=True).first()


def _is_unsure(request: Request, retention: Retention) -> bool:
    least = log_probability(retention.least_confidence)
    return least is not None and request.confidence is not None and request.confidence < least


def log_probability(probability: float | None) -> float | None:
    return math.log(probability) if probability else None


def bad_answers(deployment: Deployment) -> "QuerySet[Transcript]":
    """Transcripts whose answer was rated down or unsure, and that no row was made from yet."""
    down = Feedback.objects.filter(deployment=deployment, rating=Feedback.DOWN)
    bad = down.order_by().values("request")
    least = log_probability(settings_of(deployment).least_confidence)
    if least is not None:
        unsure = Request.objects.filter(deployment=deployment, confidence__lt=least)
        bad = bad.union(unsure.order_by().values("pk"))
    # Selected by these few requests: the deployment may have a million transcripts.
    found = Transcript.objects.filter(request__in=bad, example=None).exclude(prompt="")
    return found.order_by("request")


def count_bad_answers(deployment: Deployment) -> CappedCount:
    """As many as one click makes rows of."""
    return count_up_to(bad_answers(deployment).order_by(), MAX_ROWS_AT_ONCE)


def queue_all(*, deployment: Deployment, by: User) -> int:
    """Make a row of each bad answer; returns how many rows are new to the dataset."""
    new = 0
    for transcript in bad_answers(deployment).select_related("request")[:MAX_ROWS_AT_ONCE]:
        _example, is_new = add_to_queue(transcript=transcript, by=by)
        new += is_new
    return new


def add_to_queue(*, transcript: Transcript, by: User | None) -> tuple[Example, bool]:
    """Returns (dataset row with this question, whether it is new). A question makes one row,
    however often it was answered badly; the expected answer is suggested for it."""
    dataset = datasets.dataset_of(transcript.deployment.goal)
    with transaction.atomic():
        lock(dataset)
        rows = Transcript.objects.select_for_update(of=("self",)).select_related("example")
        locked = rows.get(pk=transcript.pk)
        if locked.example is not None:
            _add_correction(locked.example, locked, by)  # the feedback may have come since
            return locked.example, False
        same = dataset.examples.kept().filter(prompt_hash=prompt_hash(locked.messages)).first()
        is_new = same is None
        example = same or _create_row(dataset, locked, by)
        Transcript.objects.filter(pk=locked.pk).update(example=example)
    _add_correction(example, locked, by)
    return example, is_new


def _add_correction(example: Example, transcript: Transcript, by: User | None) -> None:
    """Suggest the expected answer for the row, once: a dismissed suggestion does not come back.
    The answer that was rated down becomes its worse one, while the row waits for its answer."""
    request = transcript.request
    feedback = Feedback.objects.filter(request=request).first()
    if not feedback or not feedback.expected:
        return
    waits = example.status in suggestions.OPEN_ROWS and not example.rejected
    if feedback.rating == Feedback.DOWN and waits and transcript.answer.strip():
        change_many(
            dataset=example.dataset,
            by=by,
            what=_("Kept what was not helpful as the worse answer of %s") % example,
            examples=[example],
            fields=lambda _row: {"rejected": transcript.answer},
        )
    if not example.suggestions.filter(candidate_id=BY_A_PERSON, answer=feedback.expected).exists():
        suggestions.add_suggestion(
            example_id=example.pk,
            candidate_id=BY_A_PERSON,
            answer=feedback.expected,
            source=_("somebody who used %(name)s") % {"name": request.model},
        )


def _create_row(dataset: Dataset, transcript: Transcript, by: User | None) -> Example:
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
