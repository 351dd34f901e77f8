"""The page of the team's keys: list, create, change, rotate and revoke."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import member
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.api_keys import services
from finetune_app.api_keys.forms import ChangeKeyForm, RotateForm, TeamKeyForm
from finetune_app.api_keys.models import ApiKey
from finetune_app.basemodels.catalogue import STARTER
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.requests import render_page
from finetune_app.deployment import code_snippets
from finetune_app.deployment.models import Deployment


@member(Role.VIEWER, "GET")
def page(request: HttpRequest) -> HttpResponse:
    assert request.membership is not None
    keys = list(
        ApiKey.objects.filter(team=request.team).select_related(
            "deployment", "created_by", "rotated_by"
        )
    )
    active = [key for key in keys if key.is_active]
    context = {
        "keys": active,
        "inactive": [key for key in keys if not key.is_active] if request.GET.get("over") else [],
        "inactive_count": len(keys) - len(active),
        "may_edit": request.membership.may(Role.EDITOR),
    }
    return render_page(request, "api_keys/page.html", context)


@member(Role.EDITOR, "GET", "POST", audit=AuditAction.KEY_CREATED)
def new(request: HttpRequest) -> HttpResponse:
    """Create a key and show it, in this response and never again."""
    assert request.team is not None
    form = TeamKeyForm(request.POST or None, team=request.team)
    if request.method != "POST" or not form.is_valid():
        status = 422 if request.method == "POST" else 200
        return render_page(request, "api_keys/new.html", {"form": form}, status=status)
    key, text = services.create_key(team=request.team, by=request.user, **form.cleaned_data)
    set_audit_target(request, key)
    return _shown_once(request, key, text)


@member(Role.EDITOR, "GET", "POST", audit=AuditAction.KEY_CHANGED)
def change(request: HttpRequest, key_id: int) -> HttpResponse:
    """Change the actions, limits and expiry of a key. Its secret stays."""
    key = _not_revoked(request, key_id)
    form = ChangeKeyForm(request.POST if request.method == "POST" else None, key=key)
    if request.method == "POST" and form.is_valid():
        services.change_key(key=key, **form.changes)
        messages.success(request, _("Saved. It counts from the next request on."))
        return redirect("api_keys:page")
    context = {"key": key, "form": form, "rotate": RotateForm()}
    status = 422 if request.method == "POST" else 200
    return render_page(request, "api_keys/change.html", context, status=status)


@member(Role.EDITOR, "POST", audit=AuditAction.KEY_ROTATED)
def rotate(request: HttpRequest, key_id: int) -> HttpResponse:
    """Give the key a new secret, shown in this response and never again."""
    key = _not_revoked(request, key_id)
    form = RotateForm(request.POST)
    if not form.is_valid():
        context = {"key": key, "form": ChangeKeyForm(key=key), "rotate": form}
        return render_page(request, "api_keys/change.html", context, status=422)
    key, text = services.rotate_key(key=key, by=request.user, hours=form.cleaned_data["hours"])
    return _shown_once(request, key, text)


@member(Role.EDITOR, "POST", audit=AuditAction.KEY_REVOKED)
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, team=request.team)
    services.revoke_key(key=key)
    messages.success(request, _("The key for %(name)s no longer works.") % {"name": key.name})
    return redirect("api_keys:page")


def _not_revoked(request: HttpRequest, key_id: int) -> ApiKey:
    keys = ApiKey.objects.not_revoked().select_related("deployment", "created_by")
    return get_object_or_404(keys, pk=key_id, team=request.team)


def _shown_once(request: HttpRequest, key: ApiKey, text: str) -> HttpResponse:
    live = Deployment.objects.filter(team=key.team_id, paused_at=None).order_by("pk").first()
    model = str(key.deployment or live or STARTER)
    context = {"key": key, "text": text, "snippets": code_snippets.snippets_for(model, key=text)}
    response = render_page(request, "api_keys/shown.html", context)
    response["Cache-Control"] = "no-store"
    return response
