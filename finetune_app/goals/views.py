"""Step 1: the goal."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import member
from finetune_app.accounts.models import Role
from finetune_app.accounts.next_page import page_before
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.requests import render_page
from finetune_app.goals import services
from finetune_app.goals.access import goal_page
from finetune_app.goals.embedding import with_embedder
from finetune_app.goals.forms import GoalForm, MeasureForm
from finetune_app.goals.goal_templates import find_goal_template, goal_templates_by_kind
from finetune_app.goals.measure_cards import EMBEDDING_SECONDS, measure_groups
from finetune_app.goals.measures import get_measure, summary
from finetune_app.goals.models import Goal, MeasureKind
from finetune_app.goals.trivial_check import check_measure
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job


@member(Role.EDITOR, "GET", "POST", audit=AuditAction.GOAL_CREATED)
def new(request: HttpRequest) -> HttpResponse:
    """Create a goal, optionally from a template (?example=)."""
    assert request.team is not None
    template = find_goal_template(request.GET.get("example", ""))
    form = GoalForm(
        request.POST or None,
        instance=Goal(kind="task"),
        initial=template.initial() if template else {},
    )
    if request.method == "POST" and form.is_valid():
        goal = services.create_goal(
            team=request.team,
            user=request.user,
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            kind=form.cleaned_data["kind"],
            pairs=form.pairs(),
        )
        set_audit_target(request, goal)
        return redirect("goals:measure", goal_id=goal.pk)
    context = {"form": form, "template": template, "goal_templates": goal_templates_by_kind()}
    return render_page(request, "goals/goal.html", context, status=_status(form))


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The goal and its measure."""
    right_when = (
        summary(goal.measure, goal.measure_settings)
        if goal.measure
        else _("Not decided yet how to tell a right answer.")
    )
    trivial = (
        check_measure(
            with_embedder(
                get_measure(goal.measure, goal.measure_settings), goal, EMBEDDING_SECONDS
            ),
            goal.pairs,
        )
        if goal.measure
        else None
    )
    context = {"goal": goal, "measure_summary": right_when, "trivial": trivial}
    return render_page(request, "goals/page.html", context)


@goal_page(Role.EDITOR, "GET", "POST")
def edit(request: HttpRequest, goal: Goal) -> HttpResponse:
    form = GoalForm(request.POST or None, instance=goal)
    if request.method == "POST" and form.is_valid():
        services.change_goal(
            goal=goal,
            name=form.cleaned_data["name"],
            description=form.cleaned_data["description"],
            kind=form.cleaned_data["kind"],
            pairs=form.pairs(),
        )
        return redirect("goals:measure", goal_id=goal.pk)
    if form.is_bound:
        goal.refresh_from_db()  # the form has written invalid values into it
    context = {"form": form, "goal": goal}
    return render_page(request, "goals/goal.html", context, status=_status(form))


@goal_page(Role.EDITOR, "GET", "POST")
def measure(request: HttpRequest, goal: Goal) -> HttpResponse:
    """Choose the success measure; the proposed one is preselected."""
    form = MeasureForm(request.POST or None, kind=goal.measure, settings=goal.measure_settings)
    if request.method == "POST" and form.is_valid():
        services.choose_measure(
            goal=goal, kind=form.cleaned_data["measure"], settings=form.chosen_settings
        )
        return redirect("guide:onward", goal_id=goal.pk)
    proposal = services.propose_measure(goal)
    context = {
        "form": form,
        "goal": goal,
        "proposal": proposal,
        "proposal_name": MeasureKind(proposal.kind).label,
        "groups": measure_groups(goal, form, proposal),
    }
    return render_page(request, "goals/measure.html", context, status=_status(form))


@goal_page(Role.OWNER, "GET", "POST", audit=AuditAction.GOAL_DELETED)
def delete(request: HttpRequest, goal: Goal) -> HttpResponse:
    """GET asks for confirmation; POST deletes."""
    if request.method == "POST":
        name = goal.name
        services.delete_goal(goal=goal)
        messages.success(request, _("“%(name)s” and everything in it is deleted.") % {"name": name})
        return redirect("guide:home")
    return render_page(request, "goals/delete.html", {"goal": goal})


@goal_page(Role.EDITOR, "POST")
def run_next(request: HttpRequest, goal: Goal, job_id: int) -> HttpResponse:
    """Put a waiting job before the team's others."""
    job = get_object_or_404(Job, pk=job_id, team=goal.team_id)
    if jobs.run_next(job):
        messages.success(request, _("It is the next one of your team now."))
    else:
        messages.info(request, _("It no longer waits."))
    return redirect(page_before(request))


def _status(form: GoalForm | MeasureForm) -> int:
    return 422 if form.is_bound and form.errors else 200
