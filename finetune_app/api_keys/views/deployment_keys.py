"""Create and revoke keys for one deployment, on its page."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.api_keys import services
from finetune_app.api_keys.forms import DeploymentKeyForm
from finetune_app.api_keys.models import ApiKey
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.requests import render_page
from finetune_app.deployment import code_snippets
from finetune_app.deployment.models import Deployment
from finetune_app.deployment.views.deployment import page_context
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

ACTIONS_OF_DEPLOYMENT_KEY = ["chat", "models"]  # enough to use one deployment


@goal_page(Role.EDITOR, "POST", audit=AuditAction.KEY_CREATED)
def new(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Create a key and show it, in this response and never again."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = DeploymentKeyForm(request.POST)
    if not form.is_valid():
        context = page_context(request, goal, deployment) | {"key_form": form}
        return render_page(request, "deployment/page.html", context, status=422)
    given = form.cleaned_data
    key, text = services.create_key(
        team=goal.team,
        by=request.user,
        name=given["name"],
        days=given["days"],
        deployment=deployment,
        requests_per_minute=given["requests_per_minute"],
        actions=ACTIONS_OF_DEPLOYMENT_KEY,
    )
    set_audit_target(request, key)
    context = {
        "key": key,
        "text": text,
        "deployment": deployment,
        "snippets": code_snippets.snippets_for(deployment.name, key=text),
    }
    response = render_page(request, "api_keys/shown_for_deployment.html", context)
    response["Cache-Control"] = "no-store"
    return response


@goal_page(Role.EDITOR, "POST", audit=AuditAction.KEY_REVOKED)
def revoke(request: HttpRequest, goal: Goal, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, deployment__goal=goal)
    services.revoke_key(key=key)
    messages.success(request, _("The key for %(name)s no longer works.") % {"name": key.name})
    return redirect("deployment:page", goal_id=goal.pk)
