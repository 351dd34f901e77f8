"""The list of requests, and the page of a single one."""

from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.api_keys.models import ApiKey
from finetune_app.candidates import selection
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.deployment.models import Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.request_log import feedback, replay, retention
from finetune_app.request_log.filters import (
    BAD,
    DOWN,
    FAILED,
    REFUSED,
    SLOW_SECONDS,
    UP,
    Filters,
    page_of,
)
from finetune_app.request_log.forms import RetentionForm
from finetune_app.request_log.models import Request, Transcript

MAX_VERSIONS = 12  # to filter by, the newest
MAX_TEXTS_COUNTED = 10_000  # that are kept: then "more than 10,000"


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = Deployment.objects.filter(goal=goal).first()
    if deployment is None:
        return redirect("deployment:page", goal_id=goal.pk)
    return render_page(request, "request_log/page.html", page_context(request, deployment))


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    logged = request_or_404(goal, request_id)
    return render_page(request, "request_log/request.html", _detail_context(request, goal, logged))


@goal_page(Role.EDITOR, "POST")
def replay_request(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    """Send the same messages to another candidate and show both answers. Nothing is stored."""
    logged = request_or_404(goal, request_id)
    transcript = get_object_or_404(Transcript, request=logged)
    option = selection.option_by_key(goal, request.POST.get("candidate", ""))
    if option is None:
        raise PlainError(_("Choose what should answer."))
    context = _detail_context(request, goal, logged) | {
        "replayed": replay.replay(transcript, option),
        "chosen": option.key,
    }
    return render_page(request, "request_log/request.html", context)


def request_or_404(goal: Goal, request_id: int) -> Request:
    return get_object_or_404(Request.objects.of_goal(goal), pk=request_id)


def page_context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    filters = Filters.from_query(request.GET)
    settings = retention.settings_of(deployment)
    return {
        "deployment": deployment,
        "current": deployment.current,
        "filters": filters,
        "page": page_of(deployment, filters),
        "tabs": _tabs(filters),
        "keys": _keys_that_may_ask(deployment),
        "versions": deployment.releases.values_list("number", flat=True)[:MAX_VERSIONS],
        "slow": SLOW_SECONDS,
        "retention": settings,
        "retention_form": RetentionForm(initial=RetentionForm.initial_of(settings)),
        "bad": feedback.count_bad_answers(deployment),
        "texts": retention.count_texts(deployment, MAX_TEXTS_COUNTED),
        "may_edit": may_edit(request),
        "may_decide": bool(request.membership and request.membership.may(Role.OWNER)),
        "here": reverse("request_log:page", kwargs={"goal_id": deployment.goal_id}),
    }


def _keys_that_may_ask(deployment: Deployment) -> "QuerySet[ApiKey]":
    """Its own keys, and those for everything of the team."""
    own_or_every = Q(deployment=None) | Q(deployment=deployment)
    return ApiKey.objects.filter(own_or_every, team=deployment.team_id)


def _tabs(filters: Filters) -> list[tuple[str, str, bool]]:
    """(query string, label, whether it is the current one) of each tab."""
    tabs = (
        ("", "", _("All")),
        ("", BAD, _("To correct")),
        ("", DOWN, _("Not helpful")),
        ("", UP, _("Helpful")),
        (FAILED, "", _("Failed")),
        (REFUSED, "", _("Refusals")),
    )
    return [
        (filters.query(status=status, thumbs=thumbs), label, _is_current(filters, status, thumbs))
        for status, thumbs, label in tabs
    ]


def _is_current(filters: Filters, status: str, thumbs: str) -> bool:
    if status or thumbs:
        return filters.status == status if status else filters.thumbs == thumbs
    return not (filters.status or filters.thumbs)


def _detail_context(request: HttpRequest, goal: Goal, logged: Request) -> dict[str, Any]:
    transcript = getattr(logged, "transcript", None)
    return {
        "one": logged,
        "transcript": transcript,
        "stored_response": getattr(logged, "stored_response", None),
        "opinion": getattr(logged, "feedback", None),
        "everybody": selection.candidate_options(goal) if transcript else [],
        "may_edit": may_edit(request),
    }
