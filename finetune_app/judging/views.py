"""Asks a judge for a second opinion on an evaluation, and shows it."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.evaluation.access import get_evaluation
from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.access import goal_page
from finetune_app.goals.goal_prompt import goal_instructions
from finetune_app.goals.models import Goal
from finetune_app.judging import presenters, services
from finetune_app.judging.forms import AskForm
from finetune_app.judging.judge_selection import judge_options
from finetune_app.judging.limits import MAX_CONTROLS
from finetune_app.judging.models import JudgeRun


@goal_page(Role.EDITOR, "GET", "POST", audit=AuditAction.JUDGE_ASKED)
def ask(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """GET: who may judge, and what makes an answer good. POST: ask that model."""
    evaluation = get_evaluation(goal, evaluation_id)
    options = judge_options(evaluation)
    initial = {"rubric": goal_instructions(goal)}
    form = AskForm(request.POST or None, options=options, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            run = services.start(
                evaluation=evaluation,
                judge=form.option,
                rubric=form.cleaned_data["rubric"],
                consent=form.cleaned_data["consent"],
                user=request.user,
            )
        except PlainError as problem:
            form.add_error(None, problem.message)
        else:
            return redirect("judging:detail", goal.pk, evaluation.pk, run.pk)
    context = {
        "evaluation": evaluation,
        "form": form,
        "why_not": _why_not(evaluation),
        "remote": any(one.is_remote for one in form.options.values()),
        "not_offered": [one for one in options if one.why_not],
        "controls": MAX_CONTROLS,
    }
    status = 422 if request.method == "POST" else 200
    return render_page(request, "judging/ask.html", context, status=status)


def _why_not(evaluation: Evaluation) -> str:
    """Why no judge can be asked about this evaluation, or ""."""
    if not services.can_be_judged(evaluation):
        return _("A judge can be asked once the evaluation is done.")
    try:
        services.require_pairs(services.pairs_of(evaluation))
    except PlainError as problem:
        return problem.message
    return ""


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, evaluation_id: int, judge_run_id: int) -> HttpResponse:
    """Progress while it runs; then what the judge preferred, or why it is not to be trusted."""
    run = _run_or_404(goal, evaluation_id, judge_run_id)
    context: dict[str, Any] = {
        "evaluation": run.evaluation,
        "run": run,
        "job": run.job,
        "may_edit": may_edit(request),
    }
    if not run.is_done:
        context |= presenters.progress_context(run)
        return render_page(request, "judging/running.html", context, partial="live")
    if request.headers.get("HX-Target") == "live":  # it ended while somebody watched
        response = HttpResponse(status=204)
        response["HX-Refresh"] = "true"
        return response
    after = whole_number(request.GET.get("after"))
    context |= presenters.opinion_context(run, -1 if after is None else after)
    return render_page(request, "judging/detail.html", context)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, evaluation_id: int, judge_run_id: int) -> HttpResponse:
    services.stop(run=_run_or_404(goal, evaluation_id, judge_run_id))
    return redirect("judging:detail", goal.pk, evaluation_id, judge_run_id)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, evaluation_id: int, judge_run_id: int) -> HttpResponse:
    services.resume(run=_run_or_404(goal, evaluation_id, judge_run_id))
    return redirect("judging:detail", goal.pk, evaluation_id, judge_run_id)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.JUDGEMENT_DELETED)
def delete(request: HttpRequest, goal: Goal, evaluation_id: int, judge_run_id: int) -> HttpResponse:
    services.delete(run=_run_or_404(goal, evaluation_id, judge_run_id))
    messages.success(request, _("That opinion is deleted."))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation_id)


def _run_or_404(goal: Goal, evaluation_id: int, judge_run_id: int) -> JudgeRun:
    runs = JudgeRun.objects.of_goal(goal)
    return get_object_or_404(runs, pk=judge_run_id, evaluation=evaluation_id)
