"""Add and remove other names of a deployment, on its page."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.deployment import aliases
from finetune_app.deployment.models import Deployment, ModelAlias
from finetune_app.deployment.views.deployment import page_context
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal


@goal_page(Role.EDITOR, "POST", audit=AuditAction.ALIASES_CHANGED)
def add(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = get_object_or_404(Deployment, goal=goal)
    typed = request.POST.get("name", "")
    try:
        alias = aliases.add_alias(deployment=deployment, name=typed)
    except PlainError as problem:
        context = page_context(request, goal, deployment)
        context |= {"alias_problem": problem.message, "alias_typed": typed}
        return render_page(request, "deployment/page.html", context, status=422)
    messages.success(
        request,
        _("It now answers under the name %(name)s, too.") % {"name": alias.name},
    )
    return redirect("deployment:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.ALIASES_CHANGED)
def remove(request: HttpRequest, goal: Goal, alias_id: int) -> HttpResponse:
    alias = get_object_or_404(ModelAlias, pk=alias_id, deployment__goal=goal)
    alias.delete()
    messages.success(
        request, _("It no longer answers under the name %(name)s.") % {"name": alias.name}
    )
    return redirect("deployment:page", goal_id=goal.pk)
