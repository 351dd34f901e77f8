"""Goes live, starts and ends canaries, rolls back, pauses.

Every change locks the goal first, so that concurrent requests cannot start two canaries.
"""

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.candidates.retrieval import require_documents
from finetune_app.core.errors import PlainError
from finetune_app.deployment import aliases
from finetune_app.deployment.canary import CANARY_PERCENTS, unavailable_reason
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.models import Goal

EVERYBODY_PERCENT = 100


@transaction.atomic
def go_live(*, goal: Goal, candidate: Candidate, by: User) -> Release:
    """Let this candidate answer everybody under the goal's name from now on.

    If it is the current candidate, nothing changes. If it is the canary's, the canary is promoted;
    otherwise a canary is withdrawn.

    Raises PlainError if the adapter's files are not those that were trained, or the documents it
    looks things up in are gone.
    """
    _require_files(candidate)
    Goal.objects.lock(goal.pk)
    deployment = Deployment.objects.filter(goal=goal).first()
    if deployment is None:
        deployment = Deployment.objects.create(goal=goal, team=goal.team, name=_free_name(goal))
    current, canary = deployment.current_and_canary()
    if canary and canary.candidate_id == candidate.pk:
        return _promote(canary, by)
    if canary:
        _withdraw(canary, by)
    if current and current.candidate_id == candidate.pk:
        return current
    return _create_release(deployment, candidate, by)


@transaction.atomic
def start_canary(
    *, deployment: Deployment, candidate: Candidate, percent: int, by: User
) -> Release:
    """Let this candidate answer `percent` of the conversations and the current release the others.
    If it is the canary already, only the percentage changes.

    Raises PlainError if its files were changed or are gone, if it is the current candidate, or if
    another canary is running.
    """
    _require_offered(percent)
    _require_files(candidate)
    Goal.objects.lock(deployment.goal_id)
    current, canary = deployment.current_and_canary()
    if canary and canary.candidate_id == candidate.pk:
        return _set_percent(canary, percent)
    if canary:
        raise PlainError(
            _(
                "Version %(n)d is still being tried. Let it answer everybody or take it back, then "
                "try the next one."
            )
            % {"n": canary.number},
            status=409,
            title=_("One at a time"),
        )
    if current is None or current.candidate_id == candidate.pk:
        raise PlainError(
            _("“%(name)s” answers everybody already. Choose another one to try.")
            % {"name": candidate.name},
            status=409,
            title=_("It answers already"),
        )
    return _create_release(deployment, candidate, by, canary_percent=percent)


@transaction.atomic
def set_canary_percent(*, release: Release, percent: int) -> Release:
    """Change the percentage of the conversations that a canary answers.

    Raises PlainError if its files were changed, or if it has ended in the meantime.
    """
    _require_offered(percent)
    candidates.require_adapter(release.candidate)
    Goal.objects.lock(release.deployment.goal_id)
    release = Release.objects.get(pk=release.pk)
    if release.withdrawn_at:
        raise _was_withdrawn(release)
    if release.promoted_at:
        raise _was_promoted(release)
    return _set_percent(release, percent)


@transaction.atomic
def promote(*, release: Release, by: User) -> Release:
    """Let a canary answer everybody. Nothing changes if it does already.

    Raises PlainError if it was withdrawn in the meantime, or cannot answer.
    """
    Goal.objects.lock(release.deployment.goal_id)
    release = Release.objects.select_related("deployment", "ended_by").get(pk=release.pk)
    if release.withdrawn_at:
        raise _was_withdrawn(release)
    if release.promoted_at:
        return release
    if reason := unavailable_reason(release):  # while it is on trial, the other one answers for it
        raise PlainError(reason, status=409, title=_("It cannot answer now"))
    return _promote(release, by)


@transaction.atomic
def withdraw(*, release: Release, by: User) -> Release:
    """End a canary: the current release answers everybody again. Nothing changes if it has ended.

    Raises PlainError if it was promoted in the meantime.
    """
    Goal.objects.lock(release.deployment.goal_id)
    release = Release.objects.select_related("deployment").get(pk=release.pk)
    if release.promoted_at:
        raise _was_promoted(release)
    return release if release.withdrawn_at else _withdraw(release, by)


def roll_back(*, deployment: Deployment, to: Release, by: User) -> Release:
    """Make an earlier release's candidate live again, as a new release. A canary ends."""
    return go_live(goal=deployment.goal, candidate=to.candidate, by=by)


def pause(*, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk, paused_at=None).update(paused_at=timezone.now())


def resume(*, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(paused_at=None)


def _require_files(candidate: Candidate) -> None:
    candidates.require_adapter(candidate)
    require_documents(candidate)


def _create_release(
    deployment: Deployment, candidate: Candidate, by: User, canary_percent: int | None = None
) -> Release:
    """The next release; a canary if a percentage is given."""
    if candidate.frozen_at is None:
        Candidate.objects.filter(pk=candidate.pk).update(frozen_at=timezone.now())
    last = deployment.releases.first()
    release = Release(
        deployment=deployment, number=last.number + 1 if last else 1, candidate=candidate, by=by
    )
    if canary_percent is not None:
        release.canary_percent, release.promoted_at = canary_percent, None
    release.save()
    return release


def _require_offered(percent: int) -> None:
    if percent not in CANARY_PERCENTS:
        raise PlainError(_("Choose how many conversations the new version should answer."))


def _set_percent(canary: Release, percent: int) -> Release:
    canary.canary_percent = percent
    canary.save(update_fields=["canary_percent"])
    return canary


def _was_withdrawn(release: Release) -> PlainError:
    return PlainError(
        _("Version %(n)d was taken back in the meantime. You can go live with it again.")
        % {"n": release.number},
        status=409,
        title=_("It was taken back"),
    )


def _was_promoted(release: Release) -> PlainError:
    return PlainError(
        _("Version %(n)d answers everybody by now. Go back to an earlier version instead.")
        % {"n": release.number},
        status=409,
        title=_("It answers everybody"),
    )


def _promote(canary: Release, by: User) -> Release:
    canary.promoted_at, canary.ended_by = timezone.now(), by
    canary.save(update_fields=["promoted_at", "ended_by"])
    return canary


def _withdraw(canary: Release, by: User) -> Release:
    canary.withdrawn_at, canary.ended_by = timezone.now(), by
    canary.save(update_fields=["withdrawn_at", "ended_by"])
    return canary


def _free_name(goal: Goal) -> str:
    base = slugify(goal.name)[:50].strip("-") or f"goal-{goal.pk}"
    name, n = base, 2
    while aliases.is_taken(goal.team_id, name):
        name, n = f"{base}-{n}", n + 1
    return name
