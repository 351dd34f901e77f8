"""The alerts page of a deployment: settings, sent notices, a test, rechecks."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.alerts import notices, rechecks, sending, services
from finetune_app.alerts.forms import WatchForm
from finetune_app.alerts.models import Watch
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page
from finetune_app.deployment.models import Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

MAX_NOTICES = 20  # shown, the newest
PAGE = "alerts/page.html"


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR, audit=AuditAction.ALERTS_CHANGED)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """POST: change the settings. Only that response contains the secret of a new webhook."""
    watch = services.watch_of(get_object_or_404(Deployment, goal=goal))
    if request.method == "GET":
        return render_page(request, PAGE, _context(request, watch, WatchForm.filled(watch)))
    form = WatchForm(request.POST, watch=watch)
    if not form.is_valid():
        return render_page(request, PAGE, _context(request, watch, form), status=422)
    given = form.cleaned_data
    new_secret = services.change(
        watch=watch,
        limits=form.limits,
        people=given["people"],
        webhook=given["webhook"],
        quiet=form.quiet,
        zone=given["zone"],
        recheck_days=given["recheck_days"],
    )
    messages.success(request, _("Saved."))
    if not new_secret:
        return redirect("alerts:page", goal_id=goal.pk)
    watch = services.watch_of(watch.deployment)  # with the rules that were just saved
    context = _context(request, watch, WatchForm.filled(watch)) | {"new_secret": new_secret}
    response = render_page(request, PAGE, context)
    response["Cache-Control"] = "no-store"
    return response


@goal_page(Role.EDITOR, "POST")
def send_test(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Send a test notice now and report how it went."""
    watch = services.watch_of(get_object_or_404(Deployment, goal=goal))
    for notice in notices.create_test_notices(watch=watch):
        channel = notice.get_channel_display()
        if sending.send(notice):
            messages.success(request, _("The test by %(way)s was sent.") % {"way": channel})
        else:
            notice.refresh_from_db()
            messages.error(
                request,
                _("The test by %(way)s was not sent. %(why)s")
                % {"way": channel, "why": notice.problem},
            )
    return redirect("alerts:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def recheck(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Start a recheck now."""
    started = rechecks.start(services.watch_of(get_object_or_404(Deployment, goal=goal)))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=started.evaluation_id)


def _context(request: HttpRequest, watch: Watch, form: WatchForm) -> dict[str, Any]:
    current = watch.deployment.current
    return {
        "watch": watch,
        "form": form,
        "notices": watch.notices.select_related("rule")[:MAX_NOTICES],
        "raised": watch.rules.filter(on=True).exclude(raised_at=None),
        "recheck_result": rechecks.latest_result(watch.deployment, current),
        "baseline": rechecks.baseline_of(watch.deployment, current),
        "rechecks": watch.rechecks.select_related("evaluation__job")[:1],
        "email_ready": settings.EMAIL_READY,
        "may_edit": may_edit(request),
    }
