"""Step 6: how what is live is doing, at a glance and in full."""

from pathlib import Path
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core import engine_client
from finetune_app.core.requests import render_page
from finetune_app.deployment import figures
from finetune_app.deployment.models import Deployment
from finetune_app.deployment.monitoring import (
    costs,
    drift,
    feedback,
    keeping,
    picture,
    presenters,
    retraining,
)
from finetune_app.deployment.monitoring.forms import PriceForm
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.versions.models import Version

SHOWN = 8  # requests; all of them have a page of their own
PATIENCE = 1.5  # seconds that a page waits for the engine to say how it is


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = Deployment.objects.filter(goal=goal).first()
    if deployment is None:
        return redirect("deployment:page", goal_id=goal.pk)
    context = _context(request, deployment)
    return render_page(request, "deployment/monitor.html", context, partial="figures")


@goal_page(Role.EDITOR, "POST")
def price(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Say what answering costs, or take it back."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = PriceForm(request.POST)
    if not form.is_valid():
        context = _context(request, deployment) | {"price_form": form}
        return render_page(request, "deployment/monitor.html", context, status=422)
    costs.set_price(deployment=deployment, **form.cleaned_data)
    messages.success(request, _("The figures use this price from now on."))
    return redirect("deployment:monitor", goal_id=goal.pk)


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def compare(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: the part of the page about drift, while it is found out. POST: find out now."""
    deployment = get_object_or_404(Deployment, goal=goal)
    if request.method == "POST":
        drift.begin(deployment=deployment, by=request.user)
    if request.method == "GET" and request.htmx:
        return render_page(request, "deployment/_drift.html", _drift(request, deployment))
    return redirect(reverse("deployment:monitor", kwargs={"goal_id": goal.pk}) + "#drift")


def _context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    shown = presenters.shown(deployment, picture.range_of(request.GET.get("range")))
    return (
        shown
        | _drift(request, deployment)
        | {
            "deployment": deployment,
            "current": deployment.current,
            "engine": engine_now(),
            "price_form": PriceForm(initial=vars(shown["price"])),
        }
    )


def _drift(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    """What templates/deployment/_drift.html shows."""
    found = drift.newest(deployment)
    last = deployment.drifts.select_related("job").first()
    course = drift.over_time(deployment)
    return {
        "drift": found,
        "verdict": drift.verdict(found) if found else "",
        "odd": drift.odd_ones(found) if found else [],
        "course": course[::-1],
        "drift_chart": presenters.drift_chart(course) if course else "",
        "drift_job": last.job if last and (last.job.is_active or last.job.error_code) else None,
        "prompts": drift.live_prompts(deployment).count(),
        "least_prompts": drift.LEAST,
        "keeps": keeping.of(deployment).on,
        "may_edit": may_edit(request),
    }


def engine_now() -> dict[str, Any] | None:
    """Memory, queue and what is loaded; None while it does not answer. The engine serves every
    team, so of its model only the name is said."""
    try:
        found = engine_client.health_now(PATIENCE)
    except engine_client.EngineUnavailable:
        return None
    base_model = found.get("base_model")
    return {**found, "model": Path(base_model).name if base_model else ""}


def figures_context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    """What templates/deployment/_figures.html and _requests.html show."""
    days = figures.days_of(request.GET.get("days"))
    return {
        "days": days,
        "ranges": figures.RANGES,
        "figures": figures.of(deployment, days),
        "requests": deployment.requests.select_related("key").order_by("-at", "-pk")[:SHOWN],
        "keeps": keeping.of(deployment).on,
        "fresh": _fresh(deployment),
        "bad": feedback.bad(deployment).count(),
    }


def _fresh(deployment: Deployment) -> retraining.Fresh | None:
    """What came to the dataset since its newest version."""
    versions = Version.objects.filter(dataset__goal=deployment.goal_id).order_by("-number")[:1]
    return next(iter(retraining.since(versions).values()), None)
