"""Metrics of a deployment over an hour, a day, a week or a month: over time, by release, by key."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import QuerySet, Sum
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from finetune_app.deployment.models import Deployment
from finetune_app.request_log import rollups
from finetune_app.request_log.histogram import Histogram, LengthHistogram
from finetune_app.request_log.models import HourlyUsage
from finetune_app.request_log.rollups import AnswerStats, RecentRequests, Usage

USAGE_FIELDS = ("requests", "failed", "prompt_tokens", "tokens", "busy_seconds")


@dataclass(frozen=True)
class Range:
    """`points` intervals of `width` up to now, aligned to full minutes, hours or days (UTC)."""

    key: str
    name: str | Promise  # label of its tab
    ago: str | Promise  # label of its beginning
    points: int
    width: timedelta
    refresh_seconds: int  # of an open page

    def since(self, now: datetime) -> datetime:
        width_seconds = self.width.total_seconds()
        newest = datetime.fromtimestamp(now.timestamp() // width_seconds * width_seconds, UTC)
        return newest - (self.points - 1) * self.width


RANGES = {
    one.key: one
    for one in (
        Range("hour", _("Hour"), _("an hour ago"), 60, timedelta(minutes=1), 10),
        Range("day", _("Day"), _("a day ago"), 24, timedelta(hours=1), 30),
        Range("week", _("Week"), _("a week ago"), 28, timedelta(hours=6), 60),
        Range("month", _("Month"), _("30 days ago"), 30, timedelta(days=1), 60),
    )
}


def range_from_query(text: str | None) -> Range:
    """The range named in the query string; a day for anything else."""
    return RANGES.get(text or "", RANGES["day"])


@dataclass
class Metrics:
    """Usage and answer statistics of one group of requests: a point in time, a release, a key.

    Latencies in seconds, lengths in tokens; None where there is no answer.
    """

    usage: Usage = field(default_factory=Usage)
    stats: AnswerStats = field(default_factory=AnswerStats)

    @property
    def latency_p50(self) -> float | None:
        return self.stats.latency.quantile(0.5)

    @property
    def latency_p95(self) -> float | None:
        return self.stats.latency.quantile(0.95)

    @property
    def latency_p99(self) -> float | None:
        return self.stats.latency.quantile(0.99)

    @property
    def first_token_p50(self) -> float | None:
        return self.stats.first_token.quantile(0.5)

    @property
    def first_token_p95(self) -> float | None:
        return self.stats.first_token.quantile(0.95)

    @property
    def length_p50(self) -> float | None:
        return self.stats.lengths.quantile(0.5)

    @property
    def length_p95(self) -> float | None:
        return self.stats.lengths.quantile(0.95)

    @property
    def text_answers(self) -> int:
        """Answers whose length and refusal are known."""
        return self.stats.lengths.total()

    @property
    def refused(self) -> int:
        return self.stats.refused

    @property
    def refused_share(self) -> float:
        return self.refused / self.text_answers if self.text_answers else 0.0


@dataclass
class Point(Metrics):
    """One interval of the series."""

    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)  # its start
    up: int = 0  # feedback given in it
    down: int = 0


@dataclass
class TimeSeries:
    range: Range
    points: list[Point]
    recent: RecentRequests  # what came before them is rolled up
    by_release: dict[int | None, Metrics] = field(default_factory=dict)
    by_key: dict[int | None, Metrics] = field(default_factory=dict)
    # Of each deployment of its team; None: base models called directly.
    by_deployment: dict[int | None, Usage] = field(default_factory=dict)
    total: Metrics = field(default_factory=Metrics)

    @property
    def up(self) -> int:
        return sum(point.up for point in self.points)

    @property
    def down(self) -> int:
        return sum(point.down for point in self.points)

    def index_at(self, at: datetime) -> int:
        index = int((at - self.points[0].at) / self.range.width)
        return min(len(self.points) - 1, max(0, index))

    def point_at(self, at: datetime) -> Point:
        return self.points[self.index_at(at)]

    def release(self, pk: int | None) -> Metrics:
        return self.by_release.setdefault(pk, Metrics())

    def key(self, pk: int | None) -> Metrics:
        return self.by_key.setdefault(pk, Metrics())

    def deployment(self, pk: int | None) -> Usage:
        return self.by_deployment.setdefault(pk, Usage())


def timeseries_of(
    deployment: Deployment,
    chosen: Range,
    now: datetime | None = None,
    *,
    whole: bool = True,
) -> TimeSeries:
    """whole: with feedback, and with what is rolled up by release, key and deployment."""
    now = now or timezone.now()
    since = chosen.since(now)
    points = [Point(at=since + n * chosen.width) for n in range(chosen.points)]
    hourly = chosen.width >= rollups.HOUR  # as rollups are
    recent = RecentRequests.not_rolled_up(since) if hourly else RecentRequests.read(since)
    series = TimeSeries(chosen, points, recent)
    if since < recent.since:
        _add_rollups(series, deployment, since, whole)
    _add_requests(series, deployment)
    if not whole:
        return series
    feedback = deployment.feedback.filter(at__gte=since).order_by()
    for at, rating in feedback.values_list("at", "rating").iterator(2000):
        point = series.point_at(at)
        point.up += rating > 0
        point.down += rating < 0
    return series


def _add_requests(series: TimeSeries, deployment: Deployment) -> None:
    """Add the requests that are not rolled up yet: thousands in a busy hour, so those of one
    interval, release and key are counted first."""
    counted: dict[tuple[int, int | None, int | None], Metrics] = {}
    for row, busy in series.recent.rows:
        if row.deployment == deployment.pk:
            place = (series.index_at(row.at), row.release, row.key)
            one = counted.setdefault(place, Metrics())
            one.usage.count(row, busy)
            one.stats.count(row)
        elif row.team == deployment.team_id:
            series.deployment(row.deployment).count(row, busy)
    for (index, release, key), one in counted.items():
        for metrics in (
            series.points[index],
            series.total,
            series.release(release),
            series.key(key),
        ):
            metrics.usage.add(one.usage)
            metrics.stats.add(one.stats)
        series.deployment(deployment.pk).add(one.usage)


def _add_rollups(series: TimeSeries, deployment: Deployment, since: datetime, whole: bool) -> None:
    hours = {"at__gte": since, "at__lt": series.recent.since}
    for at, usage in usage_by(deployment.hourly_usage.filter(**hours), "at"):
        series.point_at(at).usage.add(usage)
        series.total.usage.add(usage)
    if whole:
        of_team = HourlyUsage.objects.filter(team=deployment.team_id, **hours)
        for pk, release, key, usage in usage_by(of_team, "deployment", "release", "key"):
            series.deployment(pk).add(usage)
            if pk == deployment.pk:
                series.release(release).usage.add(usage)
                series.key(key).usage.add(usage)
    answers = deployment.hourly_answers.filter(**hours).values_list(
        "at", "release", "latency", "first_token", "lengths", "refused", "errors"
    )
    for at, release, latency, first_token, lengths, refused, errors in answers.iterator(2000):
        stats = AnswerStats(
            Histogram.from_json(latency),
            Histogram.from_json(first_token),
            LengthHistogram.from_json(lengths),
            refused,
        )
        stats.errors.update(errors)
        for metrics in (series.point_at(at), series.total, series.release(release)):
            metrics.stats.add(stats)


def usage_by(rows: "QuerySet[HourlyUsage]", *names: str) -> Iterable[tuple[Any, ...]]:
    """(a value of each field in `names`, total usage of the rows with them)."""
    sums = rows.order_by().values_list(*names).annotate(*(Sum(one) for one in USAGE_FIELDS))
    return ((*found[: len(names)], Usage(*found[len(names) :])) for found in sums)
