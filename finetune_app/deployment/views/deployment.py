"""The deployment page: go live, start a canary, pause."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import selection
from finetune_app.candidates.retrieval import require_documents
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.deployment import adapter_check, code_snippets, services
from finetune_app.deployment.models import Deployment, Release
from finetune_app.deployment.views.versions import canary_context, chooser_context
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.model_export import presenters as model_exports

MAX_RELEASES = 4  # shown, the newest; the others are on their own page


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    # What tags of other apps show on the page: whether texts are kept, the public chat.
    with_related = Deployment.objects.select_related("retention", "public_chat")
    deployment = with_related.filter(goal=goal).first()
    if deployment:
        deployment.goal = goal  # not to be read again
    context = page_context(request, goal, deployment)
    return render_page(request, "deployment/page.html", context)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.WENT_LIVE)
def go_live(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Let one of the goal's candidates answer everybody, or a percentage of the conversations."""
    option = selection.option_by_key(goal, request.POST.get("candidate", ""))
    if option is None:
        raise PlainError(_("Choose what should answer."))
    candidate = option.get_candidate()
    adapter_check.require_effect(candidate)
    deployment = Deployment.objects.filter(goal=goal).first()
    percent = whole_number(request.POST.get("share"))
    if deployment and percent is not None and percent != services.EVERYBODY_PERCENT:
        release = services.start_canary(
            deployment=deployment, candidate=candidate, percent=percent, by=request.user
        )
        messages.success(
            request,
            _("“%(name)s” now answers %(share)d %% of the conversations.")
            % {"name": release.candidate.name, "share": release.canary_percent},
        )
        return redirect("deployment:page", goal_id=goal.pk)
    release = services.go_live(goal=goal, candidate=candidate, by=request.user)
    messages.success(
        request,
        _("“%(name)s” is live under the name %(model)s.")
        % {"name": release.candidate.name, "model": release.deployment.name},
    )
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.PAUSED)
def pause(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Pause or resume, as the button says."""
    deployment = get_object_or_404(Deployment, goal=goal)
    change = services.pause if request.POST.get("pause") else services.resume
    change(deployment=deployment)
    return redirect("deployment:page", goal_id=goal.pk)


def page_context(request: HttpRequest, goal: Goal, deployment: Deployment | None) -> dict[str, Any]:
    """Context of templates/deployment/page.html. `deployment` is None before anything is live."""
    context = {"deployment": deployment, "may_edit": may_edit(request)}
    if deployment is None:
        return context | chooser_context(goal) | model_exports.formats_context(goal)
    releases = list(deployment.releases_with_candidate[: MAX_RELEASES + 1])
    current, canary = deployment.current_and_canary(among=releases)
    is_tuned = current is not None and current.candidate.training_id is not None
    return (
        context
        | canary_context(canary if current else None)  # a canary alone answers nothing
        | {
            "releases": releases[:MAX_RELEASES],
            "more_releases": len(releases) > MAX_RELEASES,
            "current": current,
            "problem": _documents_problem(current) if current else "",
            "has_tuned": is_tuned or goal.trainings.with_adapter().exists(),
            "reach": code_snippets.reach_sentence(),
            "snippets": code_snippets.snippets_for(deployment.name),
        }
    )


def _documents_problem(release: Release) -> str:
    """Why it cannot look anything up, as a sentence; "" if it can, or need not."""
    try:
        require_documents(release.candidate)
    except PlainError as problem:
        return problem.message
    return ""
