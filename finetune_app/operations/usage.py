"""What each team uses of this installation, in a few queries for a page of teams."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Any

from django.db.models import Count, QuerySet, Sum

from finetune_app.accounts import storage
from finetune_app.accounts.models import Team
from finetune_app.api_keys.models import this_month
from finetune_app.datasets.models import Example
from finetune_app.goals.models import Goal
from finetune_app.request_log.models import HourlyUsage
from finetune_app.training.models import Training

PAGE_SIZE = 50


@dataclass(frozen=True)
class TeamUsage:
    team: Team
    members: int
    goals: int
    rows: int  # examples, those in the trash as well
    file_bytes: int  # uploads, documents, exports
    trainings: int
    tokens: int  # of this month, read and written


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
    tokens = _tokens(teams)
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
            tokens=tokens[team.pk],
        )
        for team in teams
    ]


def _month_start() -> datetime:
    return datetime.combine(this_month(), time.min, tzinfo=UTC)


def _count(rows: QuerySet[Any], team: str) -> Counter[int]:
    return Counter(dict(rows.order_by().values_list(team).annotate(total=Count("pk"))))


def _tokens(teams: Sequence[Team]) -> Counter[int]:
    found = HourlyUsage.objects.filter(team__in=teams, at__gte=_month_start())
    sums = found.values_list("team").annotate(read=Sum("prompt_tokens"), written=Sum("tokens"))
    return Counter({team: read + written for team, read, written in sums})
