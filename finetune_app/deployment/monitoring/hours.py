"""Requests added up: hours that are over once and for good, the newest minutes as they are.

A page about a month reads some hundred rows instead of a million requests. The clock adds an hour
up soon after it ended (`catch_up`); who reads adds what is not added up yet from the requests
themselves, so a figure is right with or without the clock.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.utils import timezone

from finetune_app.deployment.models import Hour, HourPace, HoursUpTo, Request
from finetune_app.deployment.monitoring.pace import Lengths, Spread

HOUR = timedelta(hours=1)
SLACK = timedelta(minutes=2)  # until a request that ended within the hour is surely written
AT_ONCE = 24  # hours added up before somebody else has a turn


class Fact(NamedTuple):
    """What is added up of a request."""

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
    endpoint: int | None  # answered elsewhere, so this machine did nothing for it


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
class Sum:
    """Counts, and `busy`: this machine's seconds (see `shares`)."""

    requests: int = 0
    failed: int = 0
    prompt_tokens: int = 0
    tokens: int = 0
    busy: float = 0.0

    def add(self, other: "Sum") -> None:
        self.requests += other.requests
        self.failed += other.failed
        self.prompt_tokens += other.prompt_tokens
        self.tokens += other.tokens
        self.busy += other.busy

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


@dataclass
class Pace:
    """How long answers took, in all and until their first word; how long those in words were (in
    tokens), and how many of them refused; and what failed, by its code."""

    waited: Spread = field(default_factory=Spread)
    first: Spread = field(default_factory=Spread)
    lengths: Lengths = field(default_factory=Lengths)
    refused: int = 0
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, other: "Pace") -> None:
        self.waited.update(other.waited)
        self.first.update(other.first)
        self.lengths.update(other.lengths)
        self.refused += other.refused
        self.errors.update(other.errors)


def rows_since(since: datetime, until: datetime | None = None) -> list[Fact]:
    """Everybody's: requests that ran at the same time share the machine."""
    found = Request.objects.filter(at__gte=since).order_by()
    if until:
        found = found.filter(at__lt=until)
    return [Fact(*row) for row in found.values_list(*FIELDS).iterator(5000)]


def shares(spans: Sequence[tuple[float, float]]) -> list[float]:
    """Of each (start, end) its part of the time: a second in which three were under way counts as
    a third for each, so that together they never cost more than the machine did."""
    moments = sorted(
        [(start, 1, n) for n, (start, end) in enumerate(spans) if end > start]
        + [(end, 0, n) for n, (start, end) in enumerate(spans) if end > start]
    )
    found = [0.0] * len(spans)
    under_way, last, passed = 0, 0.0, 0.0  # passed: what one span would have had since the start
    for at, starts, n in moments:
        if under_way:
            passed += (at - last) / under_way
        last = at
        found[n] = passed - found[n] if not starts else passed
        under_way += 1 if starts else -1
    return found


def busy_of(rows: Sequence[Fact]) -> list[float]:
    """This machine's seconds for each request."""
    return shares(
        [
            (row.at.timestamp() - (0.0 if row.endpoint else row.seconds), row.at.timestamp())
            for row in rows
        ]
    )


def sum_of(row: Fact, busy: float) -> Sum:
    return Sum(1, int(row.status >= 400), row.prompt_tokens, row.tokens, busy)


def pace_of(row: Fact) -> Pace:
    if row.status >= 400:
        return Pace(errors=Counter([row.error or str(row.status)]))
    first = [] if row.first_seconds is None else [row.first_seconds]
    lengths = [] if row.refused is None else [row.tokens]
    return Pace(
        Spread.of([row.seconds]), Spread.of(first), Lengths.of(lengths), int(bool(row.refused))
    )


# ---- Adding up ----


def up_to() -> datetime:
    """Hours before this moment are added up: none before that of the oldest request, while the
    mark is not set."""
    found = HoursUpTo.objects.first()
    if found:
        return found.until
    oldest = Request.objects.order_by("at").values_list("at", flat=True).first()
    return (oldest or timezone.now()).replace(minute=0, second=0, microsecond=0)


def catch_up(now: datetime | None = None, *, most: int = AT_ONCE) -> bool:
    """Add up hours that are over, `most` of them; True when there are more. Any number of
    processes may do so at once: an hour is written by the one that moves the mark."""
    now = now or timezone.now()
    for _turn in range(most):
        start = up_to()
        if start + HOUR + SLACK > now:
            return False
        _add_up(start, now)
    return True


def _add_up(start: datetime, now: datetime) -> None:
    """One hour; where nothing was asked for long, on to the next in which something was."""
    rows = rows_since(start, start + HOUR)
    end = start + HOUR
    if not rows:
        later = Request.objects.filter(at__gte=end).order_by("at").values_list("at", flat=True)
        last = now - SLACK - HOUR
        end = min(later.first() or last, last).replace(minute=0, second=0, microsecond=0)
        end = max(end, start + HOUR)
    HoursUpTo.objects.get_or_create(pk=1, defaults={"until": start})
    with transaction.atomic():
        if not HoursUpTo.objects.filter(pk=1, until=start).update(until=end):
            return
        sums, paces = _added(rows)
        Hour.objects.bulk_create(
            [
                Hour(
                    at=start,
                    team_id=team,
                    deployment_id=deployment,
                    release_id=release,
                    key_id=key,
                    **vars(one),
                )
                for (team, deployment, release, key), one in sums.items()
            ],
            batch_size=500,
        )
        HourPace.objects.bulk_create(
            [
                HourPace(
                    at=start,
                    deployment_id=deployment,
                    release_id=release,
                    waited=one.waited.kept(),
                    first=one.first.kept(),
                    lengths=one.lengths.kept(),
                    refused=one.refused,
                    errors=dict(one.errors),
                )
                for (deployment, release), one in paces.items()
            ],
            batch_size=500,
        )


SumKey = tuple[int, int | None, int | None, int | None]


def _added(rows: list[Fact]) -> tuple[dict[SumKey, Sum], dict[tuple[int, int | None], Pace]]:
    sums: dict[SumKey, Sum] = {}
    paces: dict[tuple[int, int | None], Pace] = {}
    for row, busy in zip(rows, busy_of(rows), strict=True):
        whose = (row.team, row.deployment, row.release, row.key)
        sums.setdefault(whose, Sum()).add(sum_of(row, busy))
        if row.deployment:
            paces.setdefault((row.deployment, row.release), Pace()).add(pace_of(row))
    return sums, paces
