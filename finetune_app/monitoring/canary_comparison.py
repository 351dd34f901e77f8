"""A canary release beside the current one: requests, failures, latency, feedback."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q

from finetune_app.deployment.models import Deployment, Release
from finetune_app.request_log.histogram import quantile
from finetune_app.request_log.models import Feedback

MIN_REQUESTS_TO_COMPARE = 30  # of the canary; with fewer a difference means nothing
MAX_REQUESTS_COMPARED = 20_000  # the newest


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


@dataclass(frozen=True)
class CanaryComparison:
    rows: list[ReleaseFigures]  # the current release, then the canary

    @property
    def has_feedback(self) -> bool:
        return any(row.up or row.down for row in self.rows)

    @property
    def canary_requests(self) -> int:
        return self.rows[1].requests

    @property
    def too_few(self) -> bool:
        """Whether a difference between the two says nothing yet."""
        return self.canary_requests < MIN_REQUESTS_TO_COMPARE


def compare(deployment: Deployment, canary: Release, current: Release) -> CanaryComparison:
    """The current release and the canary since the canary began. A request that the client aborted
    (499) does not count as failed."""
    both = Q(release=canary) | Q(release=current)
    requests = list(
        deployment.requests.filter(both, at__gte=canary.at).values_list(
            "release_id", "status", "seconds", "prompt_tokens", "tokens", "feedback__rating"
        )[:MAX_REQUESTS_COMPARED]
    )
    rows = [
        _figures(one, [row[1:] for row in requests if row[0] == one.pk])
        for one in (current, canary)
    ]
    return CanaryComparison(rows)


def _figures(
    release: Release, rows: Sequence[tuple[int, float, int, int, int | None]]
) -> ReleaseFigures:
    """rows: status, seconds, tokens read, tokens written, rating of each request."""
    seconds = sorted(seconds for status, seconds, *_rest in rows if status < 400)
    ratings = [rating for *_rest, rating in rows]
    return ReleaseFigures(
        release,
        len(rows),
        sum(status >= 400 and status != 499 for status, *_rest in rows),
        quantile(seconds, 0.95) if seconds else None,
        sum(read + written for _status, _seconds, read, written, _rating in rows),
        up=ratings.count(Feedback.UP),
        down=ratings.count(Feedback.DOWN),
    )
