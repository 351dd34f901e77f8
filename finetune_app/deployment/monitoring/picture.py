"""How a deployment did over an hour, a day, a week or a month: by slot, by version, by key."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet
from django.db.models import Sum as Total
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.deployment.models import Deployment, Hour
from finetune_app.deployment.monitoring import hours
from finetune_app.deployment.monitoring.hours import Pace, Sum
from finetune_app.deployment.monitoring.pace import Lengths, Spread

COUNTS = ("requests", "failed", "prompt_tokens", "tokens", "busy")


@dataclass(frozen=True)
class Range:
    """`slots` of `width` up to now; slots begin at full minutes, hours or days (UTC)."""

    key: str
    name: str | Promise  # of the tab
    ago: str | Promise  # when it begins
    slots: int
    width: timedelta
    seconds: int  # until an open page looks again

    def since(self, now: datetime) -> datetime:
        wide = self.width.total_seconds()
        newest = datetime.fromtimestamp(now.timestamp() // wide * wide, UTC)
        return newest - (self.slots - 1) * self.width


RANGES = {
    one.key: one
    for one in (
        Range("hour", _("Hour"), _("an hour ago"), 60, timedelta(minutes=1), 10),
        Range("day", _("Day"), _("a day ago"), 24, timedelta(hours=1), 30),
        Range("week", _("Week"), _("a week ago"), 28, timedelta(hours=6), 60),
        Range("month", _("Month"), _("30 days ago"), 30, timedelta(days=1), 60),
    )
}


def range_of(text: str | None) -> Range:
    """The range that an address names; a day for anything else."""
    return RANGES.get(text or "", RANGES["day"])


@dataclass
class Part:
    """What belongs together: a slot, a version, a key, or all of it."""

    sum: Sum = field(default_factory=Sum)
    pace: Pace = field(default_factory=Pace)

    @property
    def middle(self) -> float | None:
        """Seconds that half of the answers took at most."""
        return self.pace.waited.at(0.5)

    @property
    def slow(self) -> float | None:
        return self.pace.waited.at(0.95)

    @property
    def slowest(self) -> float | None:
        return self.pace.waited.at(0.99)

    @property
    def first(self) -> float | None:
        return self.pace.first.at(0.5)

    @property
    def first_slow(self) -> float | None:
        return self.pace.first.at(0.95)

    @property
    def length(self) -> float | None:
        """Tokens that half of the answers in words had at most."""
        return self.pace.lengths.at(0.5)

    @property
    def longest(self) -> float | None:
        return self.pace.lengths.at(0.95)

    @property
    def answers(self) -> int:
        """In words, so that one can tell how long they were and whether they refused."""
        return self.pace.lengths.total()

    @property
    def refused(self) -> int:
        return self.pace.refused

    @property
    def refused_share(self) -> float:
        return self.refused / self.answers if self.answers else 0.0


@dataclass
class Slot(Part):
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    up: int = 0  # opinions given in it
    down: int = 0


@dataclass
class Picture:
    range: Range
    slots: list[Slot]
    by_release: dict[int | None, Part] = field(default_factory=dict)
    by_key: dict[int | None, Part] = field(default_factory=dict)
    whole: Part = field(default_factory=Part)

    @property
    def up(self) -> int:
        return sum(slot.up for slot in self.slots)

    @property
    def down(self) -> int:
        return sum(slot.down for slot in self.slots)

    def add(self, at: datetime, release: int | None, key: int | None, one: Sum, pace: Pace) -> None:
        """A request, in all places where it counts."""
        for part in (
            self.slots[self._place(at)],
            self.whole,
            self.by_release.setdefault(release, Part()),
            self.by_key.setdefault(key, Part()),
        ):
            part.sum.add(one)
            part.pace.add(pace)

    def slot(self, at: datetime) -> Slot:
        return self.slots[self._place(at)]

    def _place(self, at: datetime) -> int:
        place = int((at - self.slots[0].at) / self.range.width)
        return min(len(self.slots) - 1, max(0, place))


def of(deployment: Deployment, chosen: Range, now: datetime | None = None) -> Picture:
    now = now or timezone.now()
    since = chosen.since(now)
    picture = Picture(chosen, [Slot(at=since + n * chosen.width) for n in range(chosen.slots)])
    newer = since
    if chosen.width >= hours.HOUR:  # finer than an hour there is nothing added up
        until = hours.up_to()
        _add_hours(picture, deployment, since, until)
        newer = max(since, until)
    rows = hours.rows_since(newer)
    for row, busy in zip(rows, hours.busy_of(rows), strict=True):
        if row.deployment == deployment.pk:
            one, pace = hours.sum_of(row, busy), hours.pace_of(row)
            picture.add(row.at, row.release, row.key, one, pace)
    opinions = deployment.feedback.filter(at__gte=since).order_by()
    for at, rating in opinions.values_list("at", "rating").iterator(2000):
        slot = picture.slot(at)
        slot.up += rating > 0
        slot.down += rating < 0
    return picture


def _add_hours(picture: Picture, deployment: Deployment, since: datetime, until: datetime) -> None:
    rows = deployment.hours.filter(at__gte=since, at__lt=until)
    for at, one in _summed(rows, "at"):
        picture.slot(at).sum.add(one)
        picture.whole.sum.add(one)
    for release, one in _summed(rows, "release"):
        picture.by_release.setdefault(release, Part()).sum.add(one)
    for key, one in _summed(rows, "key"):
        picture.by_key.setdefault(key, Part()).sum.add(one)
    paces = deployment.paces.filter(at__gte=since, at__lt=until)
    kept = paces.values_list("at", "release", "waited", "first", "lengths", "refused", "errors")
    for at, release, waited, first, lengths, refused, errors in kept.iterator(2000):
        pace = Pace(Spread.read(waited), Spread.read(first), Lengths.read(lengths), refused)
        pace.errors.update(errors)
        for part in (
            picture.slot(at),
            picture.whole,
            picture.by_release.setdefault(release, Part()),
        ):
            part.pace.add(pace)


def _summed(rows: "QuerySet[Hour]", by: str) -> Iterable[tuple[Any, Sum]]:
    totals = rows.order_by().values_list(by).annotate(*(Total(name) for name in COUNTS))
    return ((found[0], Sum(*found[1:])) for found in totals)
