"""The team's keys: what each opens, how much, and until when."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import member
from finetune_app.accounts.models import Role
from finetune_app.core.requests import HttpRequest, render_page
from finetune_app.deployment import keys, snippets
from finetune_app.deployment.forms import ChangeKeyForm, RotateForm, TeamKeyForm
from finetune_app.deployment.models import ApiKey, Deployment
from finetune_app.deployment.monitoring import costs

STARTER = "smollm2-135m-instruct"  # the base model that every installation has


@member(Role.VIEWER, "GET")
def page(request: HttpRequest) -> HttpResponse:
    assert request.membership is not None
    found = ApiKey.objects.filter(team=request.team).select_related("deployment", "created_by")
    now, over = [key for key in found if keys.may_be_used(key)], []
    if request.GET.get("over"):
        over = [key for key in found if not keys.may_be_used(key)]
    context = {
        "keys": now,
        "spent": costs.spent_of(now),
        "over": over,
        "gone": len(found) - len(now),
        "may_edit": request.membership.may(Role.EDITOR),
    }
    return render_page(request, "keys/page.html", context)


@member(Role.EDITOR, "GET", "POST")
def new(request: HttpRequest) -> HttpResponse:
    """Make a key and show it: in this answer, and never again."""
    assert request.team is not None
    form = TeamKeyForm(request.POST or None, team=request.team)
    if request.method != "POST" or not form.is_valid():
        status = 422 if request.method == "POST" else 200
        return render_page(request, "keys/new.html", {"form": form}, status=status)
    key, text = keys.make(team=request.team, by=request.user, **form.cleaned_data)
    return _shown_once(request, key, text)


@member(Role.EDITOR, "GET", "POST")
def change(request: HttpRequest, key_id: int) -> HttpResponse:
    """What it may do, how much and until when. Its secret stays."""
    key = _usable(request, key_id)
    form = ChangeKeyForm(request.POST if request.method == "POST" else None, key=key)
    if request.method == "POST" and form.is_valid():
        keys.change(key=key, **form.changes)
        messages.success(request, _("Saved. It counts from the next request on."))
        return redirect("keys:page")
    context = {"key": key, "form": form, "rotate": RotateForm(), "over": not keys.may_be_used(key)}
    status = 422 if request.method == "POST" else 200
    return render_page(request, "keys/change.html", context, status=status)


@member(Role.EDITOR, "POST")
def rotate(request: HttpRequest, key_id: int) -> HttpResponse:
    """A new secret, shown in this answer and never again."""
    key = _usable(request, key_id)
    form = RotateForm(request.POST)
    if not form.is_valid():
        context = {"key": key, "form": ChangeKeyForm(key=key), "rotate": form}
        return render_page(request, "keys/change.html", context, status=422)
    key, text = keys.rotate(key=key, hours=form.cleaned_data["hours"])
    return _shown_once(request, key, text)


@member(Role.EDITOR, "POST")
def revoke(request: HttpRequest, key_id: int) -> HttpResponse:
    key = get_object_or_404(ApiKey, pk=key_id, team=request.team)
    keys.revoke(key=key)
    messages.success(
        request, _("The key for %(name)s opens nothing any more.") % {"name": key.name}
    )
    return redirect("keys:page")


def _usable(request: HttpRequest, key_id: int) -> ApiKey:
    found = ApiKey.objects.select_related("deployment", "created_by")
    return get_object_or_404(found, pk=key_id, team=request.team, revoked_at=None)


def _shown_once(request: HttpRequest, key: ApiKey, text: str) -> HttpResponse:
    first = Deployment.objects.filter(team=key.team_id, paused_at=None).order_by("pk").first()
    context = {
        "key": key,
        "text": text,
        "snippets": snippets.of(str(key.deployment or first or STARTER), key=text),
    }
    response = render_page(request, "keys/shown.html", context)
    response["Cache-Control"] = "no-store"
    return response
