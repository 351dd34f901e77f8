"""Going live, trying a version with a share of the conversations, going back, pausing.

Only what was measured or can be measured again goes live. Every change locks the goal first, so
that two tabs or a double click cannot leave two versions on trial.
"""

from django.db import transaction
from django.utils import timezone
from django.utils.text import slugify
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.candidates import services as candidates
from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.models import Goal

EVERYBODY = 100
SHARES = (5, 10, 25, 50)  # of 100 conversations


@transaction.atomic
def go_live(*, goal: Goal, candidate: Candidate, by: User) -> Release:
    """Let this candidate answer everybody under the goal's name from now on. The same one again
    changes nothing; one on trial stays the version it is, and any other trial ends.

    Raise PlainError when its files are not those that were trained.
    """
    candidates.require_its_adapter(candidate)
    Goal.objects.select_for_update().get(pk=goal.pk)
    deployment = Deployment.objects.filter(goal=goal).first()
    if deployment is None:
        deployment = Deployment.objects.create(goal=goal, team=goal.team, name=_free_name(goal))
    current, trial = deployment.current, deployment.trial
    if trial and trial.candidate_id == candidate.pk:
        return _to_everybody(trial, by)
    if trial:
        _taken_back(trial, by)
    if current and current.candidate_id == candidate.pk:
        return current
    return _release(deployment, candidate, by)


@transaction.atomic
def try_out(*, deployment: Deployment, candidate: Candidate, share: int, by: User) -> Release:
    """Let this candidate answer `share` of 100 conversations, and the current one the others. Asked
    again for the same one, it is the share that changes.

    Raise PlainError when its files were changed, it answers everybody already, or another is on
    trial.
    """
    if share not in SHARES:
        raise PlainError(_("Choose how many conversations the new version should answer."))
    candidates.require_its_adapter(candidate)
    Goal.objects.select_for_update().get(pk=deployment.goal_id)
    current, trial = deployment.current, deployment.trial
    if trial and trial.candidate_id == candidate.pk:
        Release.objects.filter(pk=trial.pk).update(share=share)
        trial.share = share
        return trial
    if trial:
        raise PlainError(
            _(
                "Version %(n)d is still being tried. Let it answer everybody or take it back, then "
                "try the next one."
            )
            % {"n": trial.number},
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
    return _release(deployment, candidate, by, share=share, full_at=None)


@transaction.atomic
def let_everybody(*, release: Release, by: User) -> Release:
    """End its trial well. Done already, it changes nothing. Raise PlainError when it was taken
    back in the meantime."""
    Goal.objects.select_for_update().get(pk=release.deployment.goal_id)
    release = Release.objects.select_related("deployment", "ended_by").get(pk=release.pk)
    if release.taken_back_at:
        raise PlainError(
            _("Version %(n)d was taken back in the meantime. You can go live with it again.")
            % {"n": release.number},
            status=409,
            title=_("It was taken back"),
        )
    return release if release.full_at else _to_everybody(release, by)


@transaction.atomic
def take_back(*, release: Release, by: User) -> Release:
    """End its trial: the one before answers everybody again. Done already, it changes nothing.
    Raise PlainError when it answers everybody by now."""
    Goal.objects.select_for_update().get(pk=release.deployment.goal_id)
    release = Release.objects.select_related("deployment").get(pk=release.pk)
    if release.full_at:
        raise PlainError(
            _("Version %(n)d answers everybody by now. Go back to an earlier version instead.")
            % {"n": release.number},
            status=409,
            title=_("It answers everybody"),
        )
    return release if release.taken_back_at else _taken_back(release, by)


def roll_back(*, deployment: Deployment, to: Release, by: User) -> Release:
    """What an earlier release answered, as a new one; a trial ends."""
    return go_live(goal=deployment.goal, candidate=to.candidate, by=by)


def pause(*, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk, paused_at=None).update(paused_at=timezone.now())


def resume(*, deployment: Deployment) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(paused_at=None)


def _release(deployment: Deployment, candidate: Candidate, by: User, **trial: object) -> Release:
    if candidate.frozen_at is None:
        Candidate.objects.filter(pk=candidate.pk).update(frozen_at=timezone.now())
    last = deployment.releases.first()
    return Release.objects.create(
        deployment=deployment,
        number=last.number + 1 if last else 1,
        candidate=candidate,
        by=by,
        **trial,
    )


def _to_everybody(trial: Release, by: User) -> Release:
    trial.full_at, trial.ended_by = timezone.now(), by
    trial.save(update_fields=["full_at", "ended_by"])
    return trial


def _taken_back(trial: Release, by: User) -> Release:
    trial.taken_back_at, trial.ended_by = timezone.now(), by
    trial.save(update_fields=["taken_back_at", "ended_by"])
    return trial


def _free_name(goal: Goal) -> str:
    base = slugify(goal.name)[:50].strip("-") or f"goal-{goal.pk}"
    taken = set(Deployment.objects.filter(team=goal.team).values_list("name", flat=True))
    name, n = base, 2
    while name in taken:
        name, n = f"{base}-{n}", n + 1
    return name
