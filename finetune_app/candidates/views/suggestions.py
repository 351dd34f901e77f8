"""Let a model suggest answers for rows that have none. A person accepts each, or does not."""

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts.access import may_edit
from finetune_app.accounts.models import Role
from finetune_app.candidates import speakers, suggesting
from finetune_app.candidates.models import SuggestionRun
from finetune_app.core.charts import bar
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import HttpRequest, render_page, whole_number
from finetune_app.core.templatetags.ui import duration
from finetune_app.datasets.models import Status
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import ACTIVE, State
from finetune_app.jobs.services import ask_stop, queue_place

PAGE = "candidates/suggestions.html"


@goal_page(Role.VIEWER, "GET", "POST", changing=Role.EDITOR)
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET: who could suggest, and how far they are. POST: start."""
    if request.method == "POST":
        return _start(request, goal)
    return render_page(request, PAGE, _context(request, goal), partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal) -> HttpResponse:
    run = goal.suggestion_runs.filter(job__state__in=ACTIVE).select_related("job").first()
    if run:
        ask_stop(run.job)
    return redirect("candidates:suggestions", goal_id=goal.pk)


def _start(request: HttpRequest, goal: Goal) -> HttpResponse:
    wanted, rows = request.POST.get("who", ""), whole_number(request.POST.get("rows"))
    speaker = next((one for one in speakers.available(goal) if one.key == wanted), None)
    try:
        if speaker is None:
            raise PlainError(_("Choose who shall suggest the answers."), status=422)
        candidate = suggesting.require_ready(speaker.make())
        most = rows if rows in suggesting.AMOUNTS else suggesting.AMOUNTS[0]
        suggesting.start(goal=goal, candidate=candidate, most=most, by=request.user)
    except PlainError as problem:
        context = _context(request, goal) | {"problem": problem.message, "chosen": wanted}
        return render_page(request, PAGE, context, status=422)
    return redirect("candidates:suggestions", goal_id=goal.pk)


def _context(request: HttpRequest, goal: Goal) -> dict[str, Any]:
    run = goal.suggestion_runs.select_related("job", "candidate").first()
    rows = dataset_of(goal).examples.kept().filter(status=Status.PENDING)
    waiting = rows.filter(suggestions__state="open").distinct().count()
    everybody = speakers.available(goal)
    return {
        "goal": goal,
        "run": run,
        "job": run.job if run else None,
        "todo": rows.count(),
        "waiting": waiting,
        "everybody": everybody,
        "amounts": suggesting.AMOUNTS,
        "chosen": _likely(everybody),
        "remote": [one for one in everybody if one.key.startswith("endpoint-")],
        "can_edit": may_edit(request),
        **(_progress(run) if run else {}),
    }


def _likely(everybody: list[speakers.Speaker]) -> str:
    """What was made last, on this machine if it can be: nothing leaves it by a default."""
    for start in ("training-", "kept-", ""):
        for one in everybody:
            if one.key.startswith(start) and not one.key.startswith("endpoint-"):
                return one.key
    return everybody[0].key if everybody else ""


def _progress(run: SuggestionRun) -> dict[str, Any]:
    job = run.job
    count = suggesting.made(run)
    place = queue_place(job)
    facts = [ngettext("%(n)d suggestion", "%(n)d suggestions", count) % {"n": count}]
    if place:
        facts.append(_("number %(n)d in the queue") % {"n": place})
    if job.seconds_left:
        facts.append(_("about %(time)s left") % {"time": duration(job.seconds_left)})
    headline = {
        State.QUEUED: _("Waiting for its turn"),
        State.SUCCEEDED: _("The suggestions are in"),
        State.STOPPED: _("Stopped"),
        State.FAILED: _("It could not go on"),
        State.CANCELLED: _("Cancelled"),
    }.get(State(job.state), _("Suggesting answers"))
    return {
        "headline": headline,
        "facts": facts,
        "made": count,
        "bar": bar(job.done, job.total or run.rows),
    }
