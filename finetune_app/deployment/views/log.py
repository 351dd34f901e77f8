"""Step 6: single requests. Their list, one of them, what people thought of it, and forgetting."""

from typing import Any

from django.contrib import messages
from django.db.models import QuerySet
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import selection
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.deployment.models import Deployment, Feedback, Request, Transcript
from finetune_app.deployment.monitoring import feedback, keeping, log, replay
from finetune_app.deployment.monitoring.forms import KeepingForm
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal

NEWEST = 12  # versions to choose from


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    deployment = Deployment.objects.filter(goal=goal).first()
    if deployment is None:
        return redirect("deployment:page", goal_id=goal.pk)
    return render_page(request, "deployment/log.html", _context(request, deployment))


@goal_page(Role.VIEWER, "GET")
def one(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    asked = _request(goal, request_id)
    return render_page(request, "deployment/request.html", _about(request, goal, asked))


@goal_page(Role.EDITOR, "POST")
def again(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    """Ask another candidate the same, and show both answers. Nothing of it is kept."""
    asked = _request(goal, request_id)
    transcript = get_object_or_404(Transcript, request=asked)
    option = selection.option_by_key(goal, request.POST.get("candidate", ""))
    if option is None:
        raise PlainError(_("Choose what should answer."))
    context = _about(request, goal, asked) | {"replayed": replay.replay(transcript, option)}
    return render_page(request, "deployment/request.html", context | {"chosen": option.key})


@goal_page(Role.VIEWER, "POST")
def thumb(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    """Say whether an answer was helpful; pressing the same again takes it back."""
    return _thumb(request, goal, _request(goal, request_id))


@goal_page(Role.VIEWER, "POST")
def thumb_of_reply(request: HttpRequest, goal: Goal, reply_id: str) -> HttpResponse:
    """The same for an answer that the playground knows by its reply's id alone."""
    asked = _requests(goal).filter(reply_id=reply_id).order_by("pk").first()
    if asked is None or asked.failed:
        raise Http404("no such answer")
    return _thumb(request, goal, asked)


def _thumb(request: HttpRequest, goal: Goal, asked: Request) -> HttpResponse:
    """`rating`: up, down, or correct: not helpful, and this is what it should have said."""
    said = request.POST.get("rating", "")
    known = {"up": Feedback.UP, "down": Feedback.DOWN, "correct": Feedback.DOWN}
    if said not in known:
        raise PlainError(_("Say whether the answer was helpful."))
    before = Feedback.objects.filter(request=asked).first()
    if before and before.rating == known[said] and said != "correct":
        feedback.take_back(request=asked)
    else:
        expected = before.expected if before else ""
        feedback.give(
            request=asked,
            rating=known[said],
            by=request.user,
            comment=before.comment if before else "",
            expected=request.POST.get("expected", "") if said == "correct" else expected,
        )
    if request.htmx:
        return render_page(request, "deployment/_thumbs.html", {"one": _request(goal, asked.pk)})
    return redirect("deployment:request", goal_id=goal.pk, request_id=asked.pk)


@goal_page(Role.EDITOR, "POST")
def to_queue(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    """Make a row to answer of this request."""
    transcript = get_object_or_404(Transcript, request=_request(goal, request_id))
    example, new = feedback.to_queue(transcript=transcript, by=request.user)
    messages.success(
        request,
        _("%(row)s waits for an answer in the dataset.") % {"row": example}
        if new
        else _("The dataset asks this already: %(row)s.") % {"row": example},
    )
    return redirect("deployment:request", goal_id=goal.pk, request_id=request_id)


@goal_page(Role.EDITOR, "POST")
def queue_all(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Rows to answer of all answers that were not helpful; then to the queue."""
    deployment = get_object_or_404(Deployment, goal=goal)
    new = feedback.queue_all(deployment=deployment, by=request.user)
    messages.success(
        request, ngettext("%(n)d new row to answer.", "%(n)d new rows to answer.", new) % {"n": new}
    )
    return redirect("labelling:start", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def forget(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    keeping.forget(_request(goal, request_id))
    messages.success(request, _("The text of this request is deleted."))
    return redirect("deployment:request", goal_id=goal.pk, request_id=request_id)


@goal_page(Role.EDITOR, "POST")
def forget_all(request: HttpRequest, goal: Goal) -> HttpResponse:
    count = keeping.forget_all(get_object_or_404(Deployment, goal=goal))
    messages.success(
        request,
        ngettext(
            "The text of %(n)d request is deleted.",
            "The texts of %(n)d requests are deleted.",
            count,
        )
        % {"n": count},
    )
    return redirect("deployment:log", goal_id=goal.pk)


@goal_page(Role.OWNER, "POST")
def keep(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Switch the keeping of texts on or off, or change how much of it. An owner's decision: it
    is about what other people write."""
    deployment = get_object_or_404(Deployment, goal=goal)
    form = KeepingForm(request.POST)
    if not form.is_valid():
        context = _context(request, deployment) | {"keeping_form": form}
        return render_page(request, "deployment/log.html", context, status=422)
    kept = keeping.change(deployment=deployment, by=request.user, **form.chosen())
    messages.success(
        request,
        _("Texts are kept from now on.")
        if kept.on
        else _(
            "Texts are not kept any more. Those that are there go when their days are "
            "over, or when you delete them."
        ),
    )
    return redirect("deployment:log", goal_id=goal.pk)


def _request(goal: Goal, request_id: int) -> Request:
    return get_object_or_404(_requests(goal), pk=request_id)


def _requests(goal: Goal) -> "QuerySet[Request]":
    together = ("key", "release__candidate", "transcript__example", "feedback", "deployment")
    return Request.objects.select_related(*together).filter(deployment__goal=goal)


def _context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    filters = log.Filters.read(request.GET)
    kept = keeping.of(deployment)
    return {
        "deployment": deployment,
        "current": deployment.current,
        "filters": filters,
        "page": log.page_of(deployment, filters),
        "tabs": [
            (filters.query(status="", thumbs=""), _("All"), not (filters.status or filters.thumbs)),
            (
                filters.query(status="", thumbs=log.DOWN),
                _("Not helpful"),
                filters.thumbs == log.DOWN,
            ),
            (filters.query(status="", thumbs=log.UP), _("Helpful"), filters.thumbs == log.UP),
            (
                filters.query(status=log.FAILED, thumbs=""),
                _("Failed"),
                filters.status == log.FAILED,
            ),
            (
                filters.query(status=log.REFUSED, thumbs=""),
                _("Refusals"),
                filters.status == log.REFUSED,
            ),
        ],
        "keys": deployment.keys.all(),
        "versions": deployment.releases.values_list("number", flat=True)[:NEWEST],
        "slow": log.SLOW,
        "keeping": kept,
        "keeping_form": KeepingForm(initial=KeepingForm.of(kept)),
        "bad": feedback.bad(deployment).count(),
        "texts": Transcript.objects.filter(deployment=deployment).count(),
        "may_edit": _may(request, Role.EDITOR),
        "may_decide": _may(request, Role.OWNER),
        "here": reverse("deployment:log", kwargs={"goal_id": deployment.goal_id}),
    }


def _about(request: HttpRequest, goal: Goal, asked: Request) -> dict[str, Any]:
    transcript = getattr(asked, "transcript", None)
    return {
        "one": asked,
        "transcript": transcript,
        "opinion": getattr(asked, "feedback", None),
        "everybody": selection.candidate_options(goal) if transcript else [],
        "may_edit": _may(request, Role.EDITOR),
    }


def _may(request: HttpRequest, role: Role) -> bool:
    return bool(request.membership and request.membership.may(role))
