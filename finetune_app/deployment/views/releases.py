"""Step 6, versions: one on trial, and all there were."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.deployment import history, services, trials
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET")
def versions(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Who let what answer when, what it changed, and how it did in the evaluation."""
    deployment = get_object_or_404(Deployment, goal=goal)
    context = {
        "deployment": deployment,
        "entries": history.entries(deployment),
        "current": deployment.current,
        "may_edit": bool(request.membership and request.membership.may(Role.EDITOR)),
    }
    return render_page(request, "deployment/versions.html", context)


@goal_page(Role.EDITOR, "POST")
def share(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """How many of 100 conversations the version on trial answers from now on."""
    release = _release(goal, number)
    chosen = whole_number(request.POST.get("share")) or 0
    services.try_out(
        deployment=release.deployment, candidate=release.candidate, share=chosen, by=request.user
    )
    messages.success(
        request,
        _("Version %(n)d answers %(share)d %% of the conversations now.")
        % {"n": number, "share": chosen},
    )
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def everybody(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.let_everybody(release=_release(goal, number), by=request.user)
    messages.success(request, _("Version %(n)d answers everybody now.") % {"n": number})
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def take_back(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    release = services.take_back(release=_release(goal, number), by=request.user)
    current = release.deployment.current
    messages.success(
        request,
        _("Version %(n)d was taken back. Version %(current)d answers everybody again.")
        % {"n": number, "current": current.number if current else 0},
    )
    return redirect("deployment:page", goal_id=goal.pk)


def _release(goal: Goal, number: int) -> Release:
    found = Release.objects.select_related("deployment__goal", "candidate")
    return get_object_or_404(found, deployment__goal=goal, number=number)


def trial_context(deployment: Deployment, current: Release) -> dict[str, Any]:
    """What templates/deployment/_trial.html shows; nothing where none is on trial."""
    trial = deployment.trial
    if trial is None:
        return {"trial": None, "shares": services.SHARES}
    sides = trials.sides(deployment, trial, current)
    return {
        "trial": trial,
        "sides": sides,
        "shares": services.SHARES,
        "thumbs": any(side.up or side.down for side in sides),
        "trial_trouble": trials.trouble(trial),
        "too_few": sides[1].requests < trials.FEW,
    }
