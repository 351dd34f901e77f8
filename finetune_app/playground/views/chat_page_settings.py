"""Settings of the public chat page. It is off until an editor switches it on."""

from django.conf import settings
from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.html import escape
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page
from finetune_app.deployment import code_snippets
from finetune_app.deployment.models import Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.playground import models
from finetune_app.playground.forms import PublicChatForm
from finetune_app.playground.models import PublicChat


@goal_page(Role.EDITOR, "GET", "POST", audit=AuditAction.CHAT_PAGE_CHANGED)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = get_object_or_404(Deployment, goal=goal)
    chat = PublicChat.objects.filter(deployment=deployment).first()
    if request.method == "POST":
        form = PublicChatForm(request.POST)
        if form.is_valid():
            PublicChat.objects.update_or_create(
                deployment=deployment, defaults=form.cleaned_data | {"changed_by": request.user}
            )
            messages.success(
                request,
                _("Saved. It is on.")
                if form.cleaned_data["on"]
                else _("Saved. It is off: nobody can open it."),
            )
            return redirect("playground:chat_page", goal_id=goal.pk)
    else:
        form = PublicChatForm(initial=_initial(deployment, chat))
    address = f"{settings.PUBLIC_URL}/chat/{chat.link}/" if chat and chat.on else ""
    context = {
        "deployment": deployment,
        "chat": chat,
        "form": form,
        "link": address,
        "iframe": _iframe(address, chat.title) if chat and address else "",
        "reach": code_snippets.network_reach(),
        "elsewhere": current.candidate.endpoint if (current := deployment.current) else None,
    }
    status = 422 if form.is_bound else 200
    return render_page(request, "playground/chat_page_settings.html", context, status=status)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.CHAT_LINK_CHANGED)
def new_link(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Replace the link; the old one stops working."""
    deployment = get_object_or_404(Deployment, goal=goal)
    PublicChat.objects.filter(deployment=deployment).update(link=models.new_link())
    messages.success(request, _("There is a new link. The old one no longer works."))
    return redirect("playground:chat_page", goal_id=goal.pk)


def _initial(deployment: Deployment, chat: PublicChat | None) -> dict[str, object]:
    if chat is None:
        return {"audience": PublicChat.Audience.TEAM, "title": deployment.goal.name}
    saved = {name: getattr(chat, name) for name in PublicChatForm.base_fields}
    return saved | {"origins": "\n".join(chat.origins)}


def _iframe(address: str, title: str) -> str:
    """HTML to paste into another site."""
    return f'<iframe src="{address}" title="{escape(title)}" width="400" height="600"></iframe>'
