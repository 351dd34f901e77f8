"""Aggregates requests by hour, so that a page about a month reads hundreds of rows, not a million.

A periodic task aggregates an hour soon after it has ended (`roll_up_finished_hours`). Readers add
the requests after `rolled_up_until()` themselves, so figures are right even if the task is late.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from finetune_app.request_log.histogram import Histogram, LengthHistogram
from finetune_app.request_log.models import HourlyAnswers, HourlyUsage, Request, RollupCursor

HOUR = timedelta(hours=1)
SLACK = timedelta(minutes=2)  # after which a request of the hour has surely been written
LONGEST_ANSWER = timedelta(minutes=5)  # nearly all take less
MAX_HOURS_AT_ONCE = 24  # per run of the periodic task


class RequestFacts(NamedTuple):
    """The fields of a request that are aggregated."""

    at: datetime
    team: int
    deployment: int | None
    release: int | None
    key: int | None
    status: int
    error: str
    prompt_tokens: int
    tokens: int
    first_seconds: float | None
    seconds: float
    refused: bool | None
    endpoint: int | None  # set if another machine answered, so this one was not busy


FIELDS = (
    "at",
    "team_id",
    "deployment_id",
    "release_id",
    "key_id",
    "status",
    "error",
    "prompt_tokens",
    "tokens",
    "first_seconds",
    "seconds",
    "refused",
    "release__candidate__endpoint_id",
)


@dataclass
class Usage:
    """Counts of requests and tokens. `busy_seconds` of this machine: see `shared_seconds`."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    busy_seconds: float = 0.0

    def count(self, row: RequestFacts, busy: float) -> None:
        self.requests += 1
        self.failed += row.status >= 400
        self.prompt_tokens += row.prompt_tokens
        self.tokens += row.tokens
        self.busy_seconds += busy

    def add(self, other: "Usage") -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.prompt_tokens += other.prompt_tokens
        self.tokens += other.tokens
        self.busy_seconds += other.busy_seconds

    @property
    def all_tokens(self) -> int:
        return self.prompt_tokens + self.tokens

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


@dataclass
class AnswerStats:
    """Latency of answers, lengths and refusals of text answers, and failures by error code."""

    latency: Histogram = field(default_factory=Histogram)
    first_token: Histogram = field(default_factory=Histogram)
    lengths: LengthHistogram = field(default_factory=LengthHistogram)
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def count(self, row: RequestFacts) -> None:
        if row.status >= 400:
            self.errors[row.error or str(row.status)] += 1
            return
        self.latency.count(row.seconds)
        if row.first_seconds is not None:
            self.first_token.count(row.first_seconds)
        if row.refused is not None:
            self.lengths.count(row.tokens)
            self.refused += row.refused

    def add(self, other: "AnswerStats") -> None:
        self.latency.update(other.latency)
        self.first_token.update(other.first_token)
        self.lengths.update(other.lengths)
        self.refused += other.refused
        self.errors.update(other.errors)


def requests_since(since: datetime, until: datetime | None = None) -> list[RequestFacts]:
    """Requests of all teams, since concurrent requests share the machine."""
    found = Request.objects.filter(at__gte=since).order_by()
    if until:
        found = found.filter(at__lt=until)
    return [RequestFacts(*row) for row in found.values_list(*FIELDS).iterator(5000)]


def shared_seconds(spans: Sequence[tuple[float, float]]) -> list[float]:
    """Divide time between concurrent (start, end) spans: a second in which three were running
    counts as a third for each, so the total never exceeds the time that passed."""
    events = sorted(
        [(start, 1, n) for n, (start, end) in enumerate(spans) if end > start]
        + [(end, 0, n) for n, (start, end) in enumerate(spans) if end > start]
    )
    found = [0.0] * len(spans)
    # elapsed: the share that a span running since the first event would have by now
    running, last, elapsed = 0, 0.0, 0.0
    for at, starts, n in events:
        if running:
            elapsed += (at - last) / running
        last = at
        found[n] = elapsed if starts else elapsed - found[n]
        running += 1 if starts else -1
    return found


def busy_seconds(rows: Sequence[RequestFacts]) -> list[float]:
    """Seconds of this machine for each request."""
    return shared_seconds(
        [
            (row.at.timestamp() - (0.0 if row.endpoint else row.seconds), row.at.timestamp())
            for row in rows
        ]
    )


def timed_requests(
    since: datetime, until: datetime | None = None
) -> list[tuple[RequestFacts, float]]:
    """Requests of all teams, each with its seconds of this machine, which it also shares with those
    that ended shortly before or after. One that is still running is not known yet."""
    rows = requests_since(since - LONGEST_ANSWER, until + LONGEST_ANSWER if until else None)
    return [
        (row, busy)
        for row, busy in zip(rows, busy_seconds(rows), strict=True)
        if row.at >= since and (until is None or row.at < until)
    ]


@dataclass(frozen=True)
class RecentRequests:
    """Requests of all teams since a time, each with its seconds of this machine."""

    since: datetime
    rows: list[tuple[RequestFacts, float]]

    @classmethod
    def read(cls, since: datetime) -> "RecentRequests":
        return cls(since, timed_requests(since))

    @classmethod
    def not_rolled_up(cls, since: datetime) -> "RecentRequests":
        """Those since `since` of hours that are not rolled up yet."""
        return cls.read(max(since, rolled_up_until()))


# ---- Rolling up finished hours ----


def rolled_up_until() -> datetime:
    """Every hour before this time is rolled up. Before the first run, in the first minute: the hour
    of the oldest request."""
    cursor = RollupCursor.objects.first()
    if cursor:
        return cursor.until
    oldest = Request.objects.order_by("at").values_list("at", flat=True).first()
    return (oldest or timezone.now()).replace(minute=0, second=0, microsecond=0)


def roll_up_finished_hours(now: datetime | None = None, *, most: int = MAX_HOURS_AT_ONCE) -> bool:
    """Roll up at most `most` finished hours; True if there are more. Safe to run concurrently: an
    hour is written by the process that moves the cursor."""
    now = now or timezone.now()
    RollupCursor.objects.get_or_create(pk=1, defaults={"until": rolled_up_until()})
    for _hour in range(most):
        start = rolled_up_until()
        if start + HOUR + SLACK > now:
            return False
        _roll_up_hour(start, now)
    return True


def _roll_up_hour(start: datetime, now: datetime) -> None:
    """Roll up one hour. An empty one moves the cursor to the next hour that has requests."""
    rows = timed_requests(start, start + HOUR)
    end = start + HOUR
    if not rows:
        later = Request.objects.filter(at__gte=end).order_by("at").values_list("at", flat=True)
        last = now - SLACK - HOUR
        end = min(later.first() or last, last).replace(minute=0, second=0, microsecond=0)
        end = max(end, start + HOUR)
    with transaction.atomic():
        if not RollupCursor.objects.filter(pk=1, until=start).update(until=end):
            return
        usage, answers = _grouped(rows)
        HourlyUsage.objects.bulk_create(
            [
                HourlyUsage(
                    at=start,
                    team_id=team,
                    deployment_id=deployment,
                    release_id=release,
                    key_id=key,
                    **asdict(one),
                )
                for (team, deployment, release, key), one in usage.items()
            ],
            batch_size=500,
        )
        HourlyAnswers.objects.bulk_create(
            [
                HourlyAnswers(
                    at=start,
                    deployment_id=deployment,
                    release_id=release,
                    latency=one.latency.to_json(),
                    first_token=one.first_token.to_json(),
                    lengths=one.lengths.to_json(),
                    refused=one.refused,
                    errors=dict(one.errors),
                )
                for (deployment, release), one in answers.items()
            ],
            batch_size=500,
        )


UsageKey = tuple[int, int | None, int | None, int | None]  # team, deployment, release, key
AnswersKey = tuple[int, int | None]  # deployment, release


def _grouped(
    rows: list[tuple[RequestFacts, float]],
) -> tuple[dict[UsageKey, Usage], dict[AnswersKey, AnswerStats]]:
    usage: dict[UsageKey, Usage] = {}
    answers: dict[AnswersKey, AnswerStats] = {}
    for row, busy in rows:
        key = (row.team, row.deployment, row.release, row.key)
        usage.setdefault(key, Usage()).count(row, busy)
        if row.deployment:
            answers.setdefault((row.deployment, row.release), AnswerStats()).count(row)
    return usage, answers
