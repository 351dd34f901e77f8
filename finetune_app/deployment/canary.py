"""Canary releases: which conversations one answers, and how it compares with the current release.

A hash of the conversation's identity decides who gets the canary, so nothing about who asks is
stored and a conversation keeps the same release for as long as the canary runs. Raising the
percentage keeps everybody who was in it before.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from finetune_app.candidates import inference
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, Feedback, Release

MIN_REQUESTS_TO_COMPARE = 30  # with fewer requests of the canary, a difference means nothing
MAX_REQUESTS_COMPARED = 20_000  # the newest


def release_for(deployment: Deployment, conversation_id: str) -> Release | None:
    """The release that answers this conversation: the canary where the hash says so and it can
    answer, otherwise the current one. None if nothing is live."""
    canary = deployment.canary
    drawn = canary and conversation_id and includes(canary, conversation_id)
    return canary if canary and drawn and not unavailable_reason(canary) else deployment.current


def includes(canary: Release, conversation_id: str) -> bool:
    """Whether this conversation is in the canary's percentage. Each canary draws anew."""
    digest = hashlib.sha256(f"{canary.pk}:{conversation_id}".encode()).digest()
    return int.from_bytes(digest[:8]) % 100 < canary.canary_percent


def unavailable_reason(release: Release) -> str:
    """Why it cannot answer, as a sentence; "" if it can."""
    try:
        inference.request_for(release.candidate)
    except PlainError as problem:
        return problem.message
    return ""


@dataclass(frozen=True)
class ReleaseFigures:
    """How one release has done since the canary began. `p95_seconds`: latency of its successful
    requests; `tokens`: read and written; `up` and `down`: feedback."""

    release: Release
    requests: int
    failed: int
    p95_seconds: float | None
    tokens: int
    up: int
    down: int

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


def compare(deployment: Deployment, canary: Release, current: Release) -> list[ReleaseFigures]:
    """The current release and the canary, over the time of the canary. A request that the client
    broke off (499) does not count as failed."""
    both = Q(release=canary) | Q(release=current)
    requests = list(
        deployment.requests.filter(both, at__gte=canary.at).values_list(
            "release_id", "status", "seconds", "prompt_tokens", "tokens"
        )[:MAX_REQUESTS_COMPARED]
    )
    ratings = list(
        Feedback.objects.filter(both, at__gte=canary.at).values_list("release_id", "rating")
    )
    return [
        _figures(
            one,
            [row[1:] for row in requests if row[0] == one.pk],
            [rating for release_id, rating in ratings if release_id == one.pk],
        )
        for one in (current, canary)
    ]


def _figures(
    release: Release, rows: Sequence[tuple[int, float, int, int]], ratings: Sequence[int]
) -> ReleaseFigures:
    seconds = sorted(seconds for status, seconds, _read, _written in rows if status < 400)
    at = min(len(seconds) - 1, int(0.95 * len(seconds)))
    return ReleaseFigures(
        release,
        len(rows),
        sum(status >= 400 and status != 499 for status, *_rest in rows),
        seconds[at] if seconds else None,
        sum(read + written for _status, _seconds, read, written in rows),
        up=ratings.count(Feedback.UP),
        down=ratings.count(Feedback.DOWN),
    )
