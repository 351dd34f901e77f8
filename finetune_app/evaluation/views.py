"""Step 5: start evaluations and show their verdict."""

from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates.services import last_test_was_in_8_bits
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.evaluation import (
    breakdown,
    method_table,
    presenters,
    safety,
    services,
)
from finetune_app.evaluation.access import get_evaluation
from finetune_app.evaluation.candidate_selection import (
    EvaluationInputs,
    candidate_options,
    create_candidates,
    default_prompt,
    gains_from_8_bits,
    without_test_prompts,
)
from finetune_app.evaluation.forms import StartForm
from finetune_app.evaluation.history import history_context
from finetune_app.evaluation.prompt_selection import (
    PromptSelection,
    all_prompts,
    fresh_prompts,
    prompts_for,
)
from finetune_app.evaluation.side_by_side import Selection, save_note, side_by_side_context
from finetune_app.evaluation.verdict import sentences
from finetune_app.evaluation.votes.presenters import what_people_say
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.training.models import Training
from finetune_app.training.services import newest_version


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The newest evaluation that is no recheck; the launch page while there is none, or with
    ?new."""
    newest = goal.evaluations.without_rechecks().first()
    if newest and "new" not in request.GET:
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=newest.pk)
    return render_page(request, "evaluation/launch.html", launch_context(goal))


@goal_page(Role.VIEWER, "GET")
def history(request: HttpRequest, goal: Goal) -> HttpResponse:
    """All tested candidates on one chart."""
    context = {"goal": goal, **history_context(goal)}
    return render_page(request, "evaluation/history.html", context)


@goal_page(Role.EDITOR, "POST")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Queue a test of the chosen candidates, on the newest (or the named) training's version: of
    its best step, or of a kept one that is named."""
    training = _named_training(request, goal)
    step = whole_number(request.POST.get("step")) if training else None
    inputs = EvaluationInputs.for_goal(goal, training, step)
    fresh = fresh_prompts(inputs)
    form = start_form(inputs, fresh, request.POST)
    if not form.is_valid():
        context = launch_context(goal) | {"form": form}
        return render_page(request, "evaluation/launch.html", context, status=422)
    prompt = without_test_prompts(form.prompt(), inputs)
    candidates = create_candidates(
        inputs, prompt=prompt, keys=form.option_keys(), in_8_bits=form.in_8_bits
    )
    finished = services.find_finished(goal, inputs.version, candidates)
    # A button on another page asks for nothing new; repeating the test would only add a look.
    if finished and not form.from_page:
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=finished.pk)
    chosen = fresh if fresh and form.fresh_only else prompts_for(inputs, candidates)
    evaluation = services.start(
        goal=goal,
        version=chosen.version,
        test_rows=chosen.rows,
        candidates=candidates,
        user=request.user,
    )
    if step is not None and evaluation.ours.step != step:
        messages.warning(request, _("Another test of this goal is running. Start yours after it."))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)


def _named_training(request: HttpRequest, goal: Goal) -> Training | None:
    pk = whole_number(request.POST.get("training"))
    if pk is None:
        return None
    return get_object_or_404(goal.trainings.with_adapter(), pk=pk)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """Progress while it runs; then the verdict and every prompt side by side."""
    evaluation = get_evaluation(goal, evaluation_id)
    context: dict[str, Any] = {
        "goal": goal,
        "evaluation": evaluation,
        "job": evaluation.job,
        "may_edit": may_edit(request),
    }
    shows_verdict = evaluation.verdict and request.headers.get("HX-Target") != "sides"
    if shows_verdict:
        evaluation.read_answers()
    if not evaluation.comparisons.exists():
        context |= presenters.progress_context(evaluation)
        return render_page(request, "evaluation/running.html", context, partial="live")
    if request.headers.get("HX-Target") == "live":  # it ended while somebody watched
        response = HttpResponse(status=204)
        response["HX-Refresh"] = "true"
        return response
    if evaluation.hides_names:
        if not context["may_edit"]:
            raise PlainError(
                _("Which answer is whose is shown once the votes are counted. Come back then."),
                status=403,
                title=_("Not decided yet"),
            )
        return redirect("evaluation:vote", goal_id=goal.pk, evaluation_id=evaluation.pk)
    if shows_verdict:
        context |= presenters.verdict_context(evaluation, request.path)
        context |= method_table.method_table_context(evaluation)
        context["breakdown"] = breakdown.breakdown_of(evaluation)
        context |= safety.safety_context(evaluation, may_edit=context["may_edit"])
        context["people_say"] = what_people_say(evaluation)
    after = whole_number(request.GET.get("after"))
    text = request.GET.get("q", "").replace("\0", "")[:200].strip()
    context |= presenters.sides_context(
        evaluation, request.GET.get("outcome", ""), text, -1 if after is None else after
    )
    return render_page(request, "evaluation/detail.html", context, partial="sides")


@goal_page(Role.VIEWER, "GET")
def side_by_side(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """One prompt at a time, with the answers of two to five candidates."""
    evaluation = get_evaluation(goal, evaluation_id)
    if evaluation.hides_names or not evaluation.comparisons.exists():
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)
    context = {
        "goal": goal,
        "evaluation": evaluation,
        "may_edit": may_edit(request),
        **side_by_side_context(evaluation, request.GET, request.user),
    }
    return render_page(request, "evaluation/side_by_side.html", context)


@goal_page(Role.EDITOR, "POST")
def note(request: HttpRequest, goal: Goal, evaluation_id: int, index: int) -> HttpResponse:
    """Save this person's note on a prompt, and return to where it was written."""
    evaluation = get_evaluation(goal, evaluation_id)
    text = request.POST.get("text", "")
    save_note(evaluation=evaluation, index=index, by=request.user, text=text)
    selection = Selection.from_query(evaluation, request.GET)
    page = reverse("evaluation:side_by_side", args=[goal.pk, evaluation.pk])
    return redirect(page + selection.address(at=index))


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    services.stop(evaluation=get_evaluation(goal, evaluation_id))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation_id)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    services.resume(evaluation=get_evaluation(goal, evaluation_id))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation_id)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.EVALUATION_DELETED)
def delete(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    services.delete(evaluation=get_evaluation(goal, evaluation_id))
    messages.success(request, _("That evaluation is deleted."))
    return redirect("evaluation:page", goal_id=goal.pk)


def start_form(
    inputs: EvaluationInputs, fresh: PromptSelection | None, data: Any = None
) -> StartForm:
    may_round = gains_from_8_bits(inputs)
    return StartForm(
        data,
        default_prompt=default_prompt(inputs),
        options=candidate_options(inputs),
        fresh_prompts=fresh.count if fresh else 0,
        may_round=may_round,
        round_by_default=may_round and last_test_was_in_8_bits(inputs.goal, inputs.base_model),
    )


def launch_context(goal: Goal) -> dict[str, Any]:
    """Context of the launch page; if nothing can be tested, why, and the step to go to."""
    try:
        inputs = EvaluationInputs.for_goal(goal)
    except PlainError as problem:
        step = "basemodels" if newest_version(goal) else "datasets"
        return {"goal": goal, "why_not": problem.message, "step_url": _step_url(step, goal)}
    whole, fresh = all_prompts(inputs), fresh_prompts(inputs)
    form = start_form(inputs, fresh)
    if not form.options:
        why_not = _("There is nothing yet to compare the base model with.")
        return {"goal": goal, "why_not": why_not, "step_url": _step_url("training", goal)}
    proposed = fresh or whole
    return {
        "goal": goal,
        "inputs": inputs,
        "form": form,
        "whole": whole,
        "fresh": fresh,
        "looks_rule": sentences.looks_rule(whole.looks + 1),
        "detectable": sentences.detectable(proposed.count, proposed.looks + 1),
    }


def _step_url(step: str, goal: Goal) -> str:
    return reverse(f"{step}:page", kwargs={"goal_id": goal.pk})
