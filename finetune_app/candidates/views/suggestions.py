"""Starts and shows a run in which a candidate suggests answers for rows that have none."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.candidates import selection, suggestion_runs
from finetune_app.candidates.models import SuggestionRun
from finetune_app.core.charts import bar
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page, whole_number
from finetune_app.core.templatetags.ui import duration
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.jobs.presenters import place_facts
from finetune_app.jobs.services import ask_stop
from finetune_app.labelling import suggestions

PAGE = "candidates/suggestions.html"


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: the candidates and the progress of the last run. POST: start a run."""
    if request.method == "POST":
        return _start(request, goal)
    return render_page(request, PAGE, _context(request, goal), partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    run = goal.suggestion_runs.active().select_related("job").first()
    if run:
        ask_stop(run.job)
    return redirect("candidates:suggestions", goal_id=goal.pk)


def _start(request: HttpRequest, goal: Goal) -> HttpResponse:
    key, rows = request.POST.get("who", ""), whole_number(request.POST.get("rows"))
    option = selection.option_by_key(goal, key)
    try:
        if option is None:
            raise PlainError(_("Choose who should suggest the answers."), status=422)
        candidate = suggestion_runs.require_ready(option.get_candidate())
        max_rows = rows if rows in suggestion_runs.ROW_COUNTS else suggestion_runs.ROW_COUNTS[0]
        suggestion_runs.start_run(
            goal=goal, candidate=candidate, max_rows=max_rows, by=request.user
        )
    except PlainError as problem:
        context = _context(request, goal) | {"problem": problem.message, "chosen": key}
        return render_page(request, PAGE, context, status=422)
    return redirect("candidates:suggestions", goal_id=goal.pk)


def _context(request: HttpRequest, goal: Goal) -> dict[str, Any]:
    run = goal.suggestion_runs.select_related("job", "candidate").first()
    dataset = dataset_of(goal)
    todo, kept_for_test = suggestions.count_rows_to_do(dataset)
    waiting = suggestions.rows_to_do(dataset).filter(suggestions__state="open").distinct().count()
    options = selection.candidate_options(goal)
    return {
        "goal": goal,
        "run": run,
        "job": run.job if run else None,
        "todo": todo,
        "kept_for_test": kept_for_test,
        "waiting": waiting,
        "options": options,
        "amounts": suggestion_runs.ROW_COUNTS,
        "chosen": _default_key(options),
        "remote": [one for one in options if one.is_remote],
        "can_edit": may_edit(request),
        **(_progress(run) if run else {}),
    }


def _default_key(options: list[selection.CandidateOption]) -> str:
    """The newest local candidate, so that no data leaves this machine by default."""
    local = [one for one in options if not one.is_remote]
    for start in ("training-", "kept-", ""):
        for one in local:
            if one.key.startswith(start):
                return one.key
    return options[0].key if options else ""


def _progress(run: SuggestionRun) -> dict[str, Any]:
    job = run.job
    count = suggestion_runs.count_made(run)
    facts = [ngettext("%(n)d suggestion", "%(n)d suggestions", count) % {"n": count}]
    if refused := len(run.refused):
        facts.append(
            ngettext("%(n)d row it could not answer", "%(n)d rows it could not answer", refused)
            % {"n": refused}
        )
    facts += place_facts(job)
    if job.seconds_left:
        facts.append(_("about %(time)s left") % {"time": duration(job.seconds_left)})
    headline = {
        State.QUEUED: _("Waiting for its turn"),
        State.SUCCEEDED: _("The suggestions are in") if count else _("It made no suggestion"),
        State.STOPPED: _("Stopped"),
        State.FAILED: _("It could not continue"),
        State.CANCELLED: _("Cancelled"),
    }.get(State(job.state), _("Suggesting answers"))
    return {
        "headline": headline,
        "facts": facts,
        "made": count,
        "bar": bar(job.done, job.total or run.rows),
    }
