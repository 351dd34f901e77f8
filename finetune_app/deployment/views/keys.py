"""Step 6: the keys that open what is live."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.deployment import keys, snippets
from finetune_app.deployment.forms import KeyForm
from finetune_app.deployment.models import ApiKey, Deployment
from finetune_app.deployment.views import live
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

ASKING = ["chat", "models"]  # what a program that asks one deployment needs


@goal_page(Role.EDITOR, "POST")
def new_key(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Make a key and show it: in this answer, and never again."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = KeyForm(request.POST)
    if not form.is_valid():
        context = live.page_context(request, goal, deployment) | {"key_form": form}
        return render_page(request, "deployment/page.html", context, status=422)
    given = form.cleaned_data
    key, text = keys.make(
        team=goal.team,
        by=request.user,
        name=given["name"],
        days=given["days"],
        deployment=deployment,
        requests_a_minute=given["requests_a_minute"],
        actions=ASKING,
    )
    context = {
        "key": key,
        "text": text,
        "deployment": deployment,
        "snippets": snippets.of(deployment.name, key=text),
    }
    response = render_page(request, "deployment/key.html", context)
    response["Cache-Control"] = "no-store"
    return response


@goal_page(Role.EDITOR, "POST")
def revoke(request: HttpRequest, goal: Goal, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, deployment__goal=goal)
    keys.revoke(key=key)
    messages.success(
        request, _("The key for %(name)s opens nothing any more.") % {"name": key.name}
    )
    return redirect("deployment:page", goal_id=goal.pk)
