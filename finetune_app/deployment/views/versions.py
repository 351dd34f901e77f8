"""All versions of a deployment, and the actions on a canary."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import selection
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page, whole_number
from finetune_app.deployment import adapter_check, release_history, services
from finetune_app.deployment import canary as canaries
from finetune_app.deployment.models import Deployment, Release
from finetune_app.evaluation.safety import leaking_test
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """All versions: who made each live, its changes and its evaluation; and what else could
    answer."""
    deployment = get_object_or_404(Deployment, goal=goal)
    entries = release_history.release_entries(deployment)
    current, canary = deployment.current_and_canary(among=[one.release for one in entries])
    context = {
        "deployment": deployment,
        "entries": entries,
        "current": current,
        "may_edit": may_edit(request),
    }
    if may_edit(request):
        context |= chooser_context(goal, canary)
    return render_page(request, "deployment/versions.html", context)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.CANARY_CHANGED)
def set_canary_percent(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """Change the percentage of the conversations that the canary answers."""
    chosen = whole_number(request.POST.get("share")) or 0
    services.set_canary_percent(release=_release(goal, number), percent=chosen)
    messages.success(
        request,
        _("Version %(n)d now answers %(share)d %% of the conversations.")
        % {"n": number, "share": chosen},
    )
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.PROMOTED)
def promote(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.promote(release=_release(goal, number), by=request.user)
    messages.success(request, _("Version %(n)d now answers everybody.") % {"n": number})
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.WITHDRAWN)
def withdraw(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    release = services.withdraw(release=_release(goal, number), by=request.user)
    current = release.deployment.current
    messages.success(
        request,
        _("Version %(n)d was taken back. Version %(current)d answers everybody again.")
        % {"n": number, "current": current.number if current else 0},
    )
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.ROLLED_BACK)
def roll_back(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """Make an earlier version's candidate live again, as a new version."""
    deployment = get_object_or_404(Deployment, goal=goal)
    release = get_object_or_404(deployment.releases.select_related("candidate"), number=number)
    adapter_check.require_effect(release.candidate)
    services.roll_back(deployment=deployment, to=release, by=request.user)
    messages.success(request, _("Version %(n)d answers again.") % {"n": number})
    return redirect("deployment:page", goal_id=goal.pk)


def _release(goal: Goal, number: int) -> Release:
    found = Release.objects.select_related("deployment__goal", "candidate")
    return get_object_or_404(found, deployment__goal=goal, number=number)


def canary_context(release: Release | None) -> dict[str, Any]:
    """Context of templates/deployment/_canary.html. `release` is the canary, if there is one."""
    if release is None:
        return {"canary": None}
    return {
        "canary": release,
        "canary_percents": canaries.CANARY_PERCENTS,
        "canary_problem": canaries.unavailable_reason(release),
    }


def chooser_context(goal: Goal, canary: Release | None = None) -> dict[str, Any]:
    """Context of templates/deployment/choose.html."""
    options = selection.candidate_options(goal)
    selected = selection.selected_options(goal, options)
    return {
        "everybody": options,
        "suggested": selected[-1].key if selected else "",
        "leaking_test": leaking_test(goal),
        "canary": canary,
        "canary_percents": canaries.CANARY_PERCENTS,
    }
