"""The wizard: one question per screen, then a letter with the advice."""

from typing import Any

from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal, Method
from finetune_app.guide.models import Advice
from finetune_app.guide.rail import rail
from finetune_app.guide.step_results import StepResults
from finetune_app.guide.steps import METHOD_OPTIONS
from finetune_app.guide.wizard import services
from finetune_app.guide.wizard.forms import AnswerForm
from finetune_app.guide.wizard.known_facts import known_facts
from finetune_app.guide.wizard.letter import changes, letter, method_of, next_after
from finetune_app.guide.wizard.method_comparison import METHODS
from finetune_app.guide.wizard.question_screens import NAMES, Screen, screens


@goal_page(Role.VIEWER, "GET")
def onward(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Redirect to the advice if there is none yet, else to the next page of the goal's method."""
    if goal.method != Method.FINE_TUNE:
        return redirect(next_after(goal, goal.method).url)
    if goal.advices.finished().exists() or not may_edit(request):
        return redirect("datasets:page", goal_id=goal.pk)
    return redirect("guide:advice", goal_id=goal.pk)


@goal_page(Role.VIEWER, "GET")
def advice(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The newest letter; without one, the first open question."""
    newest = goal.advices.given().first()
    if newest:
        return _letter(request, goal, newest, is_newest=True)
    if not may_edit(request):
        return render_page(request, "guide/no_advice.html", {"goal": goal})
    return redirect("guide:question", goal_id=goal.pk, question=_first_open(goal).name)


@goal_page(Role.VIEWER, "GET")
def earlier(request: HttpRequest, goal: Goal, advice_id: int) -> HttpResponse:
    """An earlier letter, with the texts of the time."""
    one = get_object_or_404(goal.advices.given(), pk=advice_id)
    return _letter(request, goal, one, is_newest=one == goal.advices.given().first())


@goal_page(Role.EDITOR, "GET", "POST")
def question(request: HttpRequest, goal: Goal, question: str) -> HttpResponse:
    facts = known_facts(goal)
    asked = screens([fact.name for fact in facts])
    at = next((n for n, screen in enumerate(asked) if screen.name == question), None)
    if at is None and question in NAMES:  # counted by now, so no longer asked
        return redirect("guide:advice", goal_id=goal.pk)
    if at is None:
        raise Http404("no such question")
    screen, answers = asked[at], services.latest_answers(goal)
    form = AnswerForm(request.POST or None, screen=screen, answers=answers)
    if request.method == "POST" and form.is_valid():
        given, go = form.given(), request.POST.get("go", "next")
        if given is None and go in ("next", "finish"):
            form.add_error(None, _("Choose one, or skip this question."))
        else:
            if go == "skip" or given is not None:
                given = None if go == "skip" else given
                services.answer(goal=goal, user=request.user, screen=screen, given=given)
            return _onward(request, goal, asked, at, go)
    all_seen = all(name in answers for one in asked for name in one.names)
    context = {
        "goal": goal,
        "form": form,
        "screen": screen,
        "facts": facts,
        "at": at + 1,
        "total": len(asked),
        "left": len(asked) - at - 1,
        "methods": METHOD_OPTIONS,
        "marks": ["done" if n < at else "now" if n == at else "" for n in range(len(asked))],
        "go": "next" if at + 1 < len(asked) and not all_seen else "finish",
    }
    status = 422 if form.is_bound else 200
    return render_page(request, "guide/question.html", context, status=status)


@goal_page(Role.EDITOR, "POST")
def again(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Advise again from the same answers and the facts known now."""
    if not goal.advices.exists():
        raise PlainError(_("Nobody has answered the questions yet."), status=409)
    services.finish(goal=goal, user=request.user)
    return redirect("guide:advice", goal_id=goal.pk)


@goal_page(Role.EDITOR, "POST")
def take(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Choose the advised method, or the one in the form."""
    newest = goal.advices.given().first()
    method = request.POST.get("method") or (method_of(newest) if newest else "")
    if method not in Method.values:
        raise PlainError(
            _("That is not one of the methods. Choose one on the page of the advice."), status=422
        )
    services.take(goal=goal, method=method)
    advised = newest.recommendation if newest and method == method_of(newest) else ""
    return redirect(next_after(goal, method, advised).url)


@goal_page(Role.EDITOR, "POST")
def skip(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Choose a method without answering the questions."""
    method = request.POST.get("method") or Method.FINE_TUNE
    if method not in Method.values:
        raise PlainError(_("That is not one of the methods."), status=422)
    services.skip_all(goal=goal, user=request.user, method=method)
    return redirect(next_after(goal, method).url)


def _first_open(goal: Goal) -> Screen:
    """The first question that was neither answered nor skipped; the last when none is open."""
    asked = screens([fact.name for fact in known_facts(goal)])
    answers = services.latest_answers(goal)
    is_open = (one for one in asked if not set(one.names) <= set(answers))
    return next(is_open, asked[-1])


def _onward(
    request: HttpRequest, goal: Goal, asked: list[Screen], at: int, go: str
) -> HttpResponse:
    if go == "finish" or (at + 1 == len(asked) and go != "back"):
        services.finish(goal=goal, user=request.user)
        return redirect("guide:advice", goal_id=goal.pk)
    if go == "back" and at == 0:
        return redirect("goals:measure", goal_id=goal.pk)
    to = asked[at - 1] if go == "back" else asked[at + 1]
    return redirect("guide:question", goal_id=goal.pk, question=to.name)


def _letter(request: HttpRequest, goal: Goal, advice: Advice, *, is_newest: bool) -> HttpResponse:
    results = StepResults([goal])  # for the rail and the next step
    context: dict[str, Any] = {
        "goal": goal,
        "is_newest": is_newest,
        "may_edit": may_edit(request),
        "next_step": next_after(goal, method_of(advice), advice.recommendation, results),
        "rail": rail(goal, "guide", results),
        "offer_prompt": method_of(advice) not in (Method.PROMPT, Method.RAG),
        "compared": METHODS,
        "others": goal.advices.finished().exclude(pk=advice.pk).select_related("by")[:20],
        **letter(goal, advice),
        **(changes(goal, advice) if is_newest else {}),
    }
    return render_page(request, "guide/letter.html", context)
