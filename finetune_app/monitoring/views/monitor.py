"""The monitoring page: usage, cost, drift."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page
from finetune_app.deployment.models import Deployment, Release
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.monitoring import costs, drift
from finetune_app.monitoring.charts import drift_chart
from finetune_app.monitoring.drift_limits import MIN_PROMPTS
from finetune_app.monitoring.engine_status import engine_status
from finetune_app.monitoring.forms import PriceForm
from finetune_app.monitoring.presenters import page_figures
from finetune_app.monitoring.timeseries import range_from_query
from finetune_app.request_log import retention


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = Deployment.objects.filter(goal=goal).select_related("retention").first()
    if deployment is None:
        return redirect("deployment:page", goal_id=goal.pk)
    context = _context(request, deployment)
    return render_page(request, "monitoring/page.html", context, partial="figures")


@goal_page(Role.EDITOR, "POST", audit=AuditAction.PRICE_CHANGED)
def price(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Set or remove the prices."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = PriceForm(request.POST)
    if not form.is_valid():
        context = _context(request, deployment) | {"price_form": form}
        return render_page(request, "monitoring/page.html", context, status=422)
    costs.set_price(deployment=deployment, **form.cleaned_data)
    messages.success(request, _("The figures use this price from now on."))
    return redirect("monitoring:page", goal_id=goal.pk)


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def drift_check(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: the drift section of the page, polled while a check runs. POST: start a check."""
    deployment = get_object_or_404(Deployment, goal=goal)
    if request.method == "POST":
        drift.start(deployment=deployment, by=request.user)
    if request.method == "GET" and request.htmx:
        context = _drift_context(request, deployment, deployment.current)
        return render_page(request, "monitoring/_drift.html", context)
    return redirect(reverse("monitoring:page", kwargs={"goal_id": goal.pk}) + "#drift")


def _context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    current = deployment.current
    figures = page_figures(deployment, current, range_from_query(request.GET.get("range")))
    return (
        figures
        | _drift_context(request, deployment, current)
        | {
            "deployment": deployment,
            "current": current,
            "engine": engine_status(),
            "price_form": PriceForm(initial=vars(figures["price"])),
        }
    )


def _drift_context(
    request: HttpRequest, deployment: Deployment, current: Release | None
) -> dict[str, Any]:
    """Context of templates/monitoring/_drift.html."""
    checks, last = drift.history(deployment, current)
    check = checks[0] if checks else None
    over_time = checks if len(checks) > 1 else []
    return {
        "drift": check,
        "verdict": drift.verdict(check) if check else "",
        "odd": drift.odd_prompts(check) if check else [],
        "over_time": over_time,
        "drift_chart": drift_chart(over_time[::-1]) if over_time else "",
        "drift_job": last.job if last and (last.job.is_active or last.job.error_code) else None,
        "prompts": drift.live_prompts(deployment).count(),
        "least_prompts": MIN_PROMPTS,
        "keeps": retention.settings_of(deployment).on,
        "may_edit": may_edit(request),
    }
