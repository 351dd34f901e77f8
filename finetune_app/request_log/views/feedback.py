"""Rate an answer, and make dataset rows from bad ones."""

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.deployment.models import Deployment
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.request_log import feedback
from finetune_app.request_log.models import Feedback, Request, Transcript
from finetune_app.request_log.views.requests import request_or_404

RATINGS = {"up": Feedback.UP, "down": Feedback.DOWN, "correct": Feedback.DOWN}


@goal_page(Role.VIEWER, "POST")
def rate(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    """Rate an answer; the same rating a second time withdraws it."""
    return _rate(request, goal, request_or_404(goal, request_id))


@goal_page(Role.VIEWER, "POST")
def rate_reply(request: HttpRequest, goal: Goal, reply_id: str) -> HttpResponse:
    """Rate an answer of which the playground knows only the reply's id."""
    logged = Request.objects.of_goal(goal).filter(reply_id=reply_id).order_by("pk").first()
    if logged is None or logged.failed:
        raise Http404("no such answer")
    return _rate(request, goal, logged)


def _rate(request: HttpRequest, goal: Goal, logged: Request) -> HttpResponse:
    """POST `rating`: up, down, or correct (down, with the expected answer)."""
    rating = request.POST.get("rating", "")
    if rating not in RATINGS:
        raise PlainError(_("Say whether the answer was helpful."))
    before = Feedback.objects.filter(request=logged).first()
    if before and before.rating == RATINGS[rating] and rating != "correct":
        feedback.withdraw(request=logged)
    else:
        expected = before.expected if before else ""
        feedback.give(
            request=logged,
            rating=RATINGS[rating],
            by=request.user,
            comment=before.comment if before else "",
            expected=request.POST.get("expected", "") if rating == "correct" else expected,
            may_queue=may_edit(request),
        )
    if request.htmx:
        context = {"one": request_or_404(goal, logged.pk), "may_edit": may_edit(request)}
        return render_page(request, "request_log/_thumbs.html", context)
    return redirect("request_log:request", goal_id=goal.pk, request_id=logged.pk)


@goal_page(Role.EDITOR, "POST")
def add_to_queue(request: HttpRequest, goal: Goal, request_id: int) -> HttpResponse:
    """Make a dataset row without an answer from a request."""
    transcript = get_object_or_404(Transcript, request=request_or_404(goal, request_id))
    example, is_new = feedback.add_to_queue(transcript=transcript, by=request.user)
    messages.success(
        request,
        _("%(row)s waits for an answer in the dataset.") % {"row": example}
        if is_new
        else _("The dataset asks this already: %(row)s.") % {"row": example},
    )
    return redirect("request_log:request", goal_id=goal.pk, request_id=request_id)


@goal_page(Role.EDITOR, "POST")
def queue_all(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Make dataset rows from all bad answers, then go to the labelling queue."""
    deployment = get_object_or_404(Deployment, goal=goal)
    new = feedback.queue_all(deployment=deployment, by=request.user)
    messages.success(
        request, ngettext("%(n)d new row to answer.", "%(n)d new rows to answer.", new) % {"n": new}
    )
    return redirect("labelling:start", goal_id=goal.pk)
