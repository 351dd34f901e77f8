"""Going live, going back, pausing. Only what was measured or can be measured again goes live."""

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify

from finetune_app.accounts.models import User
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.models import Goal


@transaction.atomic
def go_live(*, goal: Goal, candidate: Candidate, by: User) -> Release:
    """Let this candidate answer under the goal's name from now on. The same one again changes
    nothing. Raise PlainError when its files are not those that were trained."""
    candidates.require_its_adapter(candidate)
    Goal.objects.select_for_update().get(pk=goal.pk)
    deployment = Deployment.objects.filter(goal=goal).first()
    if deployment is None:
        deployment = Deployment.objects.create(goal=goal, team=goal.team, name=_free_name(goal))
    current = deployment.current
    if current and current.candidate_id == candidate.pk:
        return current
    if candidate.frozen_at is None:
        Candidate.objects.filter(pk=candidate.pk).update(frozen_at=timezone.now())
    number = current.number + 1 if current else 1
    return Release.objects.create(
        deployment=deployment, number=number, candidate=candidate, by=by
    )


def roll_back(*, deployment: Deployment, to: Release, by: User) -> Release:
    """What an earlier release answered, as a new one."""
    return go_live(goal=deployment.goal, candidate=to.candidate, by=by)


def pause(*, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk, paused_at=None).update(paused_at=timezone.now())


def resume(*, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(paused_at=None)


def _free_name(goal: Goal) -> str:
    base = slugify(goal.name)[:50].strip("-") or f"goal-{goal.pk}"
    taken = set(Deployment.objects.filter(team=goal.team).values_list("name", flat=True))
    name, n = base, 2
    while name in taken:
        name, n = f"{base}-{n}", n + 1
    return name
