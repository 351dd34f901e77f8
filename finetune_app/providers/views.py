"""The team's remote models. Members see their names, owners everything but the keys."""

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import is_owner, member
from finetune_app.accounts.models import Role, Team
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.providers import services
from finetune_app.providers.client import Answer
from finetune_app.providers.forms import AddressForm, ChangeForm, NewForm
from finetune_app.providers.models import Endpoint


@dataclass(frozen=True)
class Trial:
    """A trial question to a remote model, with its answer or error."""

    pk: int  # of the endpoint
    asked: str
    answer: Answer | None = None
    cost: Decimal | None = None
    error: str = ""


@member(Role.VIEWER, "GET")
def page(request: HttpRequest) -> HttpResponse:
    return _page(request)


@member(Role.OWNER, "GET", "POST", audit=AuditAction.ENDPOINT_ADDED)
def add(request: HttpRequest) -> HttpResponse:
    """Step 1 asks for the address (?url=), step 2 for the rest and the consent."""
    if request.method == "POST":
        form = NewForm(request.POST)
        if form.host and form.is_valid() and _saved(form, request):
            messages.success(request, _("Added. Try it once to see that it answers."))
            return redirect("providers:page")
        if form.host:
            context = {"form": form, "host": form.host}
            return render_page(request, "providers/new.html", context, status=422)
    asked = request.POST if request.method == "POST" else request.GET
    first = AddressForm(asked if request.method == "POST" or "url" in asked else None)
    if request.method == "GET" and first.is_bound and first.is_valid():
        form = NewForm(initial={"url": first.cleaned_data["url"]})
        form.initial["consent_to"] = form.host
        return render_page(request, "providers/new.html", {"form": form, "host": form.host})
    status = 422 if first.is_bound else 200
    return render_page(request, "providers/where.html", {"form": first}, status=status)


@member(Role.OWNER, "GET", "POST", audit=AuditAction.ENDPOINT_CHANGED)
def change(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    endpoint = find(request, endpoint_id)
    names = ("name", "context", "price_in", "price_out")
    initial = {name: getattr(endpoint, name) for name in names}
    form = ChangeForm(request.POST or None, endpoint=endpoint, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.change(endpoint=endpoint, **form.cleaned_data)
        except PlainError as problem:
            form.add_error("name", problem.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("providers:page")
    context = {"form": form, "endpoint": endpoint}
    status = 422 if form.errors else 200
    return render_page(request, "providers/change.html", context, status=status)


@member(Role.OWNER, "POST", audit=AuditAction.ENDPOINT_DELETED)
def delete(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    services.delete(endpoint=find(request, endpoint_id))
    messages.success(request, _("Deleted, with its key."))
    return redirect("providers:page")


@member(Role.OWNER, "POST")
def try_it(request: HttpRequest, endpoint_id: int) -> HttpResponse:
    """Ask one short question and show the answer beside the model."""
    endpoint = find(request, endpoint_id)
    try:
        answer = services.try_it(endpoint=endpoint)
        cost = services.cost_of(endpoint, answer.tokens_in, answer.tokens_out)
        trial = Trial(endpoint.pk, services.TRIAL_PROMPT, answer, cost)
    except PlainError as problem:
        trial = Trial(endpoint.pk, services.TRIAL_PROMPT, error=problem.message)
    return _page(request, trial=trial)


def find(request: HttpRequest, endpoint_id: int) -> Endpoint:
    found = _team(request).endpoints.filter(pk=endpoint_id).first()
    if found is None:
        raise Http404("no such remote model")
    return found


def _page(request: HttpRequest, **more: Any) -> HttpResponse:
    context = {
        "endpoints": _team(request).endpoints.select_related("consented_by"),
        "is_owner": is_owner(request),
    }
    return render_page(request, "providers/page.html", context | more, partial="models")


def _saved(form: NewForm, request: HttpRequest) -> bool:
    given = {name: value for name, value in form.cleaned_data.items() if name != "consent"}
    try:
        services.add(team=_team(request), user=request.user, **given)
    except PlainError as problem:
        form.add_error("name", problem.message)
        return False
    return True


def _team(request: HttpRequest) -> Team:
    if request.team is None:
        raise Http404("no team")
    return request.team
