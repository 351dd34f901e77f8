"""Step 2: which answer is better? A candidate answers twice, and people choose."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import selection, suggestion_runs
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.datasets.services import dataset_of
from finetune_app.datasets.text import newlines
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.preferences import choices, presenters, runs
from finetune_app.preferences.models import AnswerPair, PreferenceRun
from finetune_app.versions import services as versions


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: what it is for, the progress of the newest run, and the form. POST: start a run."""
    if request.method == "POST":
        return _start(request, goal)
    context = presenters.page_context(goal) | {"may_edit": may_edit(request)}
    return render_page(request, "preferences/page.html", context, partial="live")


def _start(request: HttpRequest, goal: Goal) -> HttpResponse:
    key, count = request.POST.get("who", ""), whole_number(request.POST.get("count"))
    option = selection.option_by_key(goal, key)
    try:
        if option is None:
            raise PlainError(_("Choose who should answer."), status=422)
        candidate = suggestion_runs.require_ready(option.get_candidate())
        count = count if count in runs.PROMPT_COUNTS else runs.DEFAULT_COUNT
        runs.start_run(goal=goal, candidate=candidate, count=count, by=request.user)
    except PlainError as problem:
        context = presenters.page_context(goal) | {"may_edit": may_edit(request)}
        context |= {"problem": problem.message, "chosen": key}
        return render_page(request, "preferences/page.html", context, status=422)
    return redirect("preferences:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    runs.stop(run=_run_or_404(goal))
    return redirect("preferences:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal) -> HttpResponse:
    runs.resume(run=_run_or_404(goal))
    return redirect("preferences:page", goal_id=goal.pk)


@goal_page(Role.EDITOR, "GET", "POST")
def choose(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: the next two answers, or what follows when there are none. POST: one is better."""
    run = runs.newest_run(goal)
    if run is None:
        return redirect("preferences:page", goal_id=goal.pk)
    if request.method == "POST":
        pk = whole_number(request.POST.get("pair"))
        if pk is None:
            raise PlainError(_("Choose A, B, or neither."))
        return _choose(request, goal, _pair_or_404(run, pk), request.POST.get("better", ""))
    wanted = whole_number(request.GET.get("pair"))
    pair_to_show = choices.next_pair(run, request.user, wanted)
    context = presenters.progress_context(run, request.user)
    if request.htmx and (pair_to_show or not context["more_may_come"]):
        return HttpResponse(status=204, headers={"HX-Refresh": "true"})  # somebody waited for it
    if pair_to_show is None:
        context |= presenters.end_context(run)
        return render_page(request, "preferences/end.html", context, partial="live")
    context |= presenters.pair_context(pair_to_show)
    return render_page(request, "preferences/choose.html", context)


@goal_page(Role.EDITOR, "GET", "POST")
def write(request: HttpRequest, goal: Goal, pair_id: int, side: str) -> HttpResponse:
    """GET: one of the answers in a box, to be made better. POST: what was written is better."""
    run = runs.newest_run(goal)
    pair = _pair_or_404(run, pair_id)
    if side not in choices.SIDES:
        raise Http404("there is no such answer")
    if request.method == "POST":
        text = newlines(request.POST.get("text", ""))
        try:
            return _choose(request, goal, pair, side, text)
        except PlainError as problem:
            if problem.status != 422:
                raise
            return _render_write(request, pair, side, text, problem.message)
    held = choices.next_pair(pair.run, request.user, pair.pk)
    if held is None or held.pk != pair.pk:
        messages.info(request, _("Those answers are in front of somebody else, or decided."))
        return redirect("preferences:choose", goal_id=goal.pk)
    return _render_write(request, held, side, held.sides[side])


@goal_page(Role.EDITOR, "POST")
def undo(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Take one's newest choice back, and show its answers again."""
    run = _run_or_404(goal)
    pair = choices.undo_last(run=run, by=request.user)
    if pair is None:
        messages.info(request, _("There is no choice of yours to undo."))
        return redirect("preferences:choose", goal_id=goal.pk)
    return redirect(reverse("preferences:choose", args=[goal.pk]) + f"?pair={pair.pk}")


@goal_page(Role.EDITOR, "POST")
def freeze(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Freeze a version with the choices, and go on to the training on them."""
    version, new = versions.freeze(dataset=dataset_of(goal), by=request.user)
    if new:
        messages.success(request, _("Version %(n)s is frozen.") % {"n": version.number})
    return redirect(presenters.training_url(goal))


def _choose(
    request: HttpRequest, goal: Goal, pair: AnswerPair, pressed: str, text: str | None = None
) -> HttpResponse:
    pair = choices.choose(pair=pair, by=request.user, pressed=pressed, text=text)
    if pair.state == AnswerPair.State.GONE:
        messages.info(
            request,
            _(
                "That prompt was changed, or is kept back for the test now, so nothing was learned "
                "from your choice."
            ),
        )
    return redirect("preferences:choose", goal_id=goal.pk)


def _render_write(
    request: HttpRequest, pair: AnswerPair, side: str, text: str, problem: str = ""
) -> HttpResponse:
    context: dict[str, Any] = presenters.progress_context(pair.run, request.user)
    context |= presenters.pair_context(pair)
    context |= presenters.write_context(side, text) | {"problem": problem}
    status = 422 if problem else 200
    return render_page(request, "preferences/write.html", context, status=status)


def _run_or_404(goal: Goal) -> PreferenceRun:
    run = runs.newest_run(goal)
    if run is None:
        raise Http404("nobody has answered yet")
    return run


def _pair_or_404(run: PreferenceRun | None, pk: int) -> AnswerPair:
    pairs = AnswerPair.objects.select_related("example__dataset", "run__goal", "run__job")
    return get_object_or_404(pairs, run=run, pk=pk)
