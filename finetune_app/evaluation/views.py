"""Step 5: is it really better?"""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.evaluation import candidate_selection, method_table, presenters, services, votes
from finetune_app.evaluation.candidate_selection import EvaluationInputs
from finetune_app.evaluation.forms import StartForm
from finetune_app.evaluation.models import Comparison, Evaluation
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.goals.presenters import present_answer
from finetune_app.training.services import newest_version


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The newest evaluation; the launch page while there is none, or when asked for (?new)."""
    newest = goal.evaluations.first()
    if newest and "new" not in request.GET:
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=newest.pk)
    return render_page(request, "evaluation/launch.html", launch_context(goal))


@goal_page(Role.EDITOR, "POST")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Queue a test of all that take part, on the newest (or the named) training's version."""
    wanted = whole_number(request.POST.get("training"))
    training = None
    if wanted is not None:
        training = goal.trainings.exclude(adapter_sha256="").filter(pk=wanted).first()
        if training is None:
            raise Http404("no such training")
    basis = EvaluationInputs.for_goal(goal, training)
    form = start_form(basis, request.POST)
    if not form.is_valid():
        context = launch_context(goal) | {"form": form}
        return render_page(request, "evaluation/launch.html", context, status=422)
    taking_part = candidate_selection.create_candidates(
        basis, prompt=form.prompt(), keys=form.keys()
    )
    tested = services.already_tested(goal, basis.version, taking_part)
    if tested and not form.from_page:  # a bare click: a second test would only be a second look
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=tested.pk)
    evaluation = services.start(
        goal=goal, version=basis.version, candidates=taking_part, user=request.user
    )
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """Progress while it runs; then the verdict and every prompt side by side."""
    evaluation = find(goal, evaluation_id)
    context: dict[str, Any] = {
        "goal": goal,
        "evaluation": evaluation,
        "job": evaluation.job,
        "may_edit": may_edit(request),
    }
    if not evaluation.comparisons.exists():
        context |= presenters.progress_context(evaluation)
        return render_page(request, "evaluation/running.html", context, partial="live")
    if request.headers.get("HX-Target") == "live":  # it ended while somebody watched
        response = HttpResponse(status=204)
        response["HX-Refresh"] = "true"
        return response
    if hides_names(evaluation):
        if not context["may_edit"]:
            raise PlainError(
                _("Which answer is whose is shown once the votes are counted. Come back then."),
                status=403,
                title=_("Not decided yet"),
            )
        return redirect("evaluation:vote", goal_id=goal.pk, evaluation_id=evaluation.pk)
    if evaluation.verdict and request.headers.get("HX-Target") != "sides":
        context |= presenters.verdict_context(evaluation, request.path)
        context |= method_table.method_table_context(evaluation)
    after = whole_number(request.GET.get("after"))
    text = request.GET.get("q", "").replace("\0", "")[:200].strip()
    context |= presenters.sides_context(
        evaluation, request.GET.get("outcome", ""), text, -1 if after is None else after
    )
    return render_page(request, "evaluation/detail.html", context, partial="sides")


@goal_page(Role.EDITOR, "GET", "POST")
def vote(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """One pair of answers, names hidden: A, B, about the same, or neither."""
    evaluation = find(goal, evaluation_id)
    if request.method == "POST":
        pressed, index = request.POST.get("vote", ""), whole_number(request.POST.get("index"))
        if "undo" in request.POST:
            votes.take_back(evaluation=evaluation, user=request.user)
        elif index is not None:
            votes.vote(evaluation=evaluation, index=index, user=request.user, pressed=pressed)
        return redirect("evaluation:vote", goal_id=goal.pk, evaluation_id=evaluation.pk)
    if not hides_names(evaluation):
        return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)
    mine = evaluation.votes.filter(by=request.user)
    open_rows = evaluation.comparisons.exclude(index__in=mine.values("index"))
    row = open_rows.first()
    total = evaluation.comparisons.count()
    context: dict[str, Any] = {
        "goal": goal,
        "evaluation": evaluation,
        "row": row,
        "total": total,
        "voted": mine.count(),
        "left": total - mine.count(),
    }
    if row:
        context |= sides(evaluation, row, request)
    return render_page(request, "evaluation/vote.html", context, partial="ballot")


@goal_page(Role.EDITOR, "POST")
def reveal(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    """Count the votes and show the names."""
    evaluation = find(goal, evaluation_id)
    votes.reveal(evaluation=evaluation)
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation.pk)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    services.stop(evaluation=find(goal, evaluation_id))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation_id)


@goal_page(Role.EDITOR, "POST")
def go_on(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    services.go_on(evaluation=find(goal, evaluation_id))
    return redirect("evaluation:detail", goal_id=goal.pk, evaluation_id=evaluation_id)


@goal_page(Role.EDITOR, "POST")
def delete(request: HttpRequest, goal: Goal, evaluation_id: int) -> HttpResponse:
    services.delete(evaluation=find(goal, evaluation_id))
    messages.success(request, _("That evaluation is deleted."))
    return redirect(reverse("evaluation:page", kwargs={"goal_id": goal.pk}))


def find(goal: Goal, evaluation_id: int) -> Evaluation:
    found = (
        goal.evaluations.select_related("job", "version", "base", "ours__training")
        .filter(pk=evaluation_id)
        .first()
    )
    if found is None:
        raise Http404("no such evaluation")
    return found


def hides_names(evaluation: Evaluation) -> bool:
    """A person's blind choice stays blind until the votes are counted."""
    return services.by_choice(evaluation) and not evaluation.revealed_at


def sides(evaluation: Evaluation, row: Comparison, request: HttpRequest) -> dict[str, Any]:
    """The two answers as A and B."""
    left = votes.left_side(evaluation, row.index, request.user)
    texts = dict(evaluation.answers.filter(index=row.index).values_list("candidate_id", "text"))
    by_name = {"base": evaluation.base_id, "ours": evaluation.ours_id}
    order = [left, votes.other_side(left)]
    a, b = (present_answer(texts.get(by_name[name], "")) for name in order)
    return {"a": a, "b": b}


def start_form(basis: EvaluationInputs, data: Any = None) -> StartForm:
    return StartForm(
        data,
        fair=candidate_selection.default_prompt(basis),
        offers=candidate_selection.candidate_options(basis),
    )


def launch_context(goal: Goal) -> dict[str, Any]:
    """What can be tested now, or why nothing can and where to mend that."""
    try:
        basis = EvaluationInputs.for_goal(goal)
    except PlainError as problem:
        step = "basemodels" if newest_version(goal) else "datasets"
        return {"goal": goal, "why_not": problem.message, "mend_url": _page_of(step, goal)}
    form = start_form(basis)
    if not form.offers:
        why_not = _("There is nothing yet to compare the base model with.")
        return {"goal": goal, "why_not": why_not, "mend_url": _page_of("training", goal)}
    return {
        "goal": goal,
        "basis": basis,
        "form": form,
        "looks": services.count_looks(goal, basis.version),
    }


def _page_of(step: str, goal: Goal) -> str:
    return reverse(f"{step}:page", kwargs={"goal_id": goal.pk})
