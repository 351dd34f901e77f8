"""How long a team's heavy jobs have run this month, and whether that is as long as they may.

Counted from when their children ran, those that run now included. A job without a child, which only
waits for another service, costs nothing. Months are those of UTC, as for API keys.
"""

from collections import Counter
from collections.abc import Collection
from datetime import UTC, date, datetime, time, timedelta

from django.db.models import (
    DateTimeField,
    DurationField,
    ExpressionWrapper,
    F,
    Q,
    QuerySet,
    Sum,
    Value,
)
from django.db.models.functions import Coalesce, Greatest
from django.utils import timezone

from finetune_app.core.environment import team_hours_a_month
from finetune_app.jobs.kinds import heavy_kinds
from finetune_app.jobs.models import ChildRun, DeletedJobTime, Job


def month_start() -> datetime:
    return datetime.combine(timezone.now().date().replace(day=1), time.min, tzinfo=UTC)


def next_month() -> date:
    """Its first day, when all hours are there again."""
    return (month_start() + timedelta(days=32)).date().replace(day=1)


def used_seconds(teams: Collection[int]) -> Counter[int]:
    """How long the heavy jobs of each team have run this month. The seconds are whole."""
    runs = _run_times(ChildRun.objects.filter(job__team__in=teams, job__kind__in=heavy_kinds()))
    deleted = DeletedJobTime.objects.filter(team__in=teams, month=month_start().date())
    return runs + Counter({one.team_id: round(one.seconds) for one in deleted})


def teams_without_hours(teams: Collection[int]) -> set[int]:
    """Those that have used their hours of this month."""
    if not team_hours_a_month() or not teams:
        return set()
    return {team for team, seconds in used_seconds(teams).items() if is_used_up(seconds)}


def is_used_up(seconds: float) -> bool:
    most = team_hours_a_month()
    return 0 < most * 3600 <= seconds


def keep_time_of(job: Job) -> None:
    """Call before the job is deleted."""
    if not job.is_heavy or not (seconds := _run_times(job.child_runs.all())[job.team_id]):
        return
    kept, _is_new = DeletedJobTime.objects.get_or_create(
        team_id=job.team_id, month=month_start().date()
    )
    DeletedJobTime.objects.filter(pk=kept.pk).update(seconds=F("seconds") + seconds)


def _run_times(runs: QuerySet[ChildRun]) -> Counter[int]:
    """Seconds of this month, by team."""
    now = Value(timezone.now(), DateTimeField())
    start = Value(month_start(), DateTimeField())
    this_month = runs.filter(Q(ended_at=None) | Q(ended_at__gt=month_start()))
    time = ExpressionWrapper(
        Coalesce("ended_at", now) - Greatest("started_at", start), DurationField()
    )
    found = this_month.order_by().values_list("job__team").annotate(total=Sum(time))
    return Counter({team: round(total.total_seconds()) for team, total in found})
