"""Step 6: let it answer for others, watch how it does, take it with you."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import FileResponse, Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.candidates import speakers
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.deployment import archive, figures, keys, services
from finetune_app.deployment.forms import KeyForm
from finetune_app.deployment.models import ApiKey, Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

SHOWN = 20  # requests


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = Deployment.objects.filter(goal=goal).first()
    context = _context(request, goal, deployment)
    return render_page(request, "deployment/page.html", context)


@goal_page(Role.EDITOR, "POST")
def go_live(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Make one of the goal's candidates answer, named by its speaker's key."""
    known = {one.key: one for one in speakers.available(goal)}
    speaker = known.get(request.POST.get("candidate", ""))
    if speaker is None:
        raise PlainError(_("Choose what should answer."))
    release = services.go_live(goal=goal, candidate=speaker.make(), by=request.user)
    messages.success(
        request, _("“%(name)s” is live under the name %(model)s.") % {
            "name": release.candidate.name, "model": release.deployment.name},
    )  # fmt: skip
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def roll_back(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    deployment = get_object_or_404(Deployment, goal=goal)
    release = get_object_or_404(deployment.releases.select_related("candidate"), number=number)
    services.roll_back(deployment=deployment, to=release, by=request.user)
    messages.success(request, _("Version %(n)d answers again.") % {"n": number})
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def pause(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Pause, or resume: what the button said."""
    deployment = get_object_or_404(Deployment, goal=goal)
    change = services.pause if request.POST.get("pause") else services.resume
    change(deployment=deployment)
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def new_key(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Make a key and show it: in this answer, and never again."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = KeyForm(request.POST)
    if not form.is_valid():
        context = _context(request, goal, deployment) | {"key_form": form}
        return render_page(request, "deployment/page.html", context, status=422)
    given = form.cleaned_data
    key, text = keys.make(
        team=goal.team, by=request.user, name=given["name"], days=given["days"],
        deployment=deployment, requests_a_minute=given["requests_a_minute"],
    )  # fmt: skip
    context = {"key": key, "text": text, "deployment": deployment, "address": _address()}
    response = render_page(request, "deployment/key.html", context)
    response["Cache-Control"] = "no-store"
    return response


@goal_page(Role.EDITOR, "POST")
def revoke(request: HttpRequest, goal: Goal, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, deployment__goal=goal)
    keys.revoke(key=key)
    messages.success(request, _("The key for %(name)s opens nothing any more.") % {
        "name": key.name})
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.VIEWER, "GET")
def adapter(request: HttpRequest, goal: Goal, number: int) -> FileResponse:
    training = (
        goal.trainings.select_related("base_model", "goal").filter(number=number).first()
    )
    if training is None:
        raise Http404("no such training")
    file, name = archive.adapter_archive(training)
    return FileResponse(file, as_attachment=True, filename=name, content_type="application/zip")


def _context(request: HttpRequest, goal: Goal, deployment: Deployment | None) -> dict[str, Any]:
    everybody = speakers.available(goal)
    trained = list(
        goal.trainings.exclude(adapter_sha256="").select_related("base_model", "version", "job")
    )
    made = speakers.chosen(goal, everybody)
    context: dict[str, Any] = {
        "trained": trained,
        "newest": trained[0] if trained else None,
        "everybody": everybody,
        "suggested": made[-1].key if made else "",
        "deployment": deployment,
        "may_edit": bool(request.membership and request.membership.may(Role.EDITOR)),
    }
    if deployment is None:
        return context
    days = figures.days_of(request.GET.get("days"))
    releases = list(deployment.releases.select_related("candidate", "by")[:SHOWN])
    return context | {
        "releases": releases,
        "current": releases[0],
        "keys": deployment.keys.filter(revoked_at=None).select_related("created_by"),
        "key_form": KeyForm(),
        "address": _address(),
        "only_here": settings.ONLY_THIS_COMPUTER,
        "days": days,
        "ranges": figures.RANGES,
        "figures": figures.of(deployment, days),
        "requests": deployment.requests.select_related("key")[:SHOWN],
    }


def _address() -> str:
    return f"{settings.PUBLIC_URL}/v1"
