"""What each team uses of this installation, in a few queries for a page of teams."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from django.conf import settings
from django.db.models import Count, QuerySet, Sum

from finetune_app.accounts import storage
from finetune_app.accounts.models import Team
from finetune_app.api_keys.models import ApiKey, this_month
from finetune_app.core.environment import team_hours_a_month, team_jobs_at_once
from finetune_app.datasets.models import Example
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import Job
from finetune_app.jobs.team_hours import is_used_up, used_seconds
from finetune_app.request_log.models import HourlyUsage
from finetune_app.training.models import Training

PAGE_SIZE = 50


@dataclass(frozen=True)
class TeamUsage:
    team: Team
    members: int
    goals: int
    rows: int  # examples, those in the trash as well
    file_bytes: int  # uploads, documents, what was trained, exports
    trainings: int
    running: int  # heavy jobs
    seconds: int  # that they ran this month
    tokens: int  # of this month, read and written
    most_tokens: int | None  # the budgets of its keys together; None: one has none

    @property
    def hours(self) -> float:
        return self.seconds / 3600

    @property
    def without_hours(self) -> bool:
        """Whether its jobs wait for the next month."""
        return is_used_up(self.seconds)


@dataclass(frozen=True)
class Limits:
    """Of each team; 0: none."""

    jobs_at_once: int
    hours: float
    bytes: int


def limits() -> Limits:
    return Limits(team_jobs_at_once(), team_hours_a_month(), settings.MAX_TEAM_BYTES)


@dataclass(frozen=True)
class TeamPage:
    teams: list[TeamUsage]
    next_after: int | None  # the page after this team


def teams_page(after: int = 0) -> TeamPage:
    """Teams in the order they were made, from after the team with this key."""
    found = list(
        Team.objects.filter(pk__gt=after)
        .annotate(member_count=Count("memberships"))
        .order_by("pk")[: PAGE_SIZE + 1]
    )
    teams = found[:PAGE_SIZE]
    return TeamPage(usage_of(teams), teams[-1].pk if len(found) > PAGE_SIZE else None)


def usage_of(teams: Sequence[Team]) -> list[TeamUsage]:
    goals = _count(Goal.objects.filter(team__in=teams), "team")
    rows = _count(Example.objects.filter(dataset__goal__team__in=teams), "dataset__goal__team")
    trainings = _count(Training.objects.filter(goal__team__in=teams), "goal__team")
    running = _count(Job.objects.lane(True).leased().filter(team__in=teams), "team")
    seconds = used_seconds([team.pk for team in teams])
    tokens, most_tokens = _tokens(teams), _budgets(teams)
    size: Counter[int] = Counter()
    for model, team in storage.FILES:
        found = model._default_manager.filter(**{f"{team}__in": teams}).order_by().values_list(team)
        size.update(dict(found.annotate(total=Sum("size"))))
    return [
        TeamUsage(
            team,
            members=team.member_count,  # type: ignore[attr-defined]  # annotated
            goals=goals[team.pk],
            rows=rows[team.pk],
            file_bytes=size[team.pk],
            trainings=trainings[team.pk],
            running=running[team.pk],
            seconds=seconds[team.pk],
            tokens=tokens[team.pk],
            most_tokens=most_tokens.get(team.pk),
        )
        for team in teams
    ]


def _month_start() -> datetime:
    return datetime.combine(this_month(), time.min, tzinfo=UTC)


def _count(rows: QuerySet[Any], team: str) -> Counter[int]:
    return Counter(dict(rows.order_by().values_list(team).annotate(total=Count("pk"))))


def _budgets(teams: Sequence[Team]) -> dict[int, int | None]:
    """Tokens a month that the keys of each team may use together."""
    budgets: dict[int, int | None] = {}
    keys = ApiKey.objects.active().filter(team__in=teams).order_by()
    for team, budget in keys.values_list("team", "tokens_per_month"):
        known = budgets.get(team, 0)
        budgets[team] = None if budget is None or known is None else known + budget
    return budgets


def _tokens(teams: Sequence[Team]) -> Counter[int]:
    found = HourlyUsage.objects.filter(team__in=teams, at__gte=_month_start())
    sums = found.values_list("team").annotate(read=Sum("prompt_tokens"), written=Sum("tokens"))
    return Counter({team: read + written for team, read, written in sums})
