"""Switch the storing of texts on or off, and delete texts."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page
from finetune_app.deployment.models import Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.request_log import retention
from finetune_app.request_log.forms import RetentionForm
from finetune_app.request_log.views.requests import page_context, request_or_404


@goal_page(Role.OWNER, "POST", audit=AuditAction.RETENTION_CHANGED)
def change(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Change what is kept. Only owners may: it concerns what other people write."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = RetentionForm(request.POST)
    if not form.is_valid():
        context = page_context(request, deployment) | {"retention_form": form}
        return render_page(request, "request_log/page.html", context, status=422)
    settings = retention.change(deployment=deployment, by=request.user, **form.settings)
    messages.success(
        request,
        _("Texts are kept from now on.")
        if settings.on
        else _(
            "Texts are no longer kept. Those already here go when their days are over, or when "
            "you delete them."
        ),
    )
    return redirect("request_log:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.TEXT_DELETED)
def delete_text(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    retention.delete_text(request_or_404(goal, request_id))
    messages.success(request, _("The text of this request is deleted."))
    return redirect("request_log:request", goal_id=goal.pk, request_id=request_id)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.TEXTS_DELETED)
def delete_all_texts(request: HttpRequest, goal: Goal) -> HttpResponse:
    count = retention.delete_all_texts(get_object_or_404(Deployment, goal=goal))
    messages.success(
        request,
        ngettext(
            "The text of %(n)d request is deleted.",
            "The texts of %(n)d requests are deleted.",
            count,
        )
        % {"n": count},
    )
    return redirect("request_log:page", goal_id=goal.pk)
