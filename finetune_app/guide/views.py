"""The home page, and creating the sample goal."""

from django.conf import settings
from django.http import HttpResponse
from django.shortcuts import redirect

from finetune_app.accounts.access import may_edit, member
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.core.audit import AuditAction, set_audit_target
from finetune_app.core.machine import this_machine
from finetune_app.core.requests import render_page, whole_number
from finetune_app.goals.models import Goal
from finetune_app.guide import services
from finetune_app.guide.progress import progress_of
from finetune_app.jobs.models import ACTIVE, Job, State

GOALS_PER_PAGE = 30


@member(Role.VIEWER, "GET")
def home(request: HttpRequest) -> HttpResponse:
    """The team's goals, each with its state and its next action."""
    goals = Goal.objects.visible_to(request.user).filter(team=request.team)
    last_seen = whole_number(request.GET.get("before"))
    if last_seen is not None:
        goals = goals.filter(pk__lt=last_seen)
    found = list(goals.order_by("-pk")[: GOALS_PER_PAGE + 1])
    jobs = Job.objects.filter(team=request.team, state__in=ACTIVE)
    return render_page(
        request,
        "guide/home.html",
        {
            "rows": progress_of(found[:GOALS_PER_PAGE]),
            "more_before": found[GOALS_PER_PAGE - 1].pk if len(found) > GOALS_PER_PAGE else None,
            "machine": this_machine(settings.DATA_DIR),
            "running": jobs.exclude(state=State.QUEUED).count(),
            "waiting": jobs.filter(state=State.QUEUED).count(),
            "sample_minutes": services.sample_minutes(),
            "may_edit": may_edit(request),
        },
        partial="goals",
    )


@member(Role.EDITOR, "POST", audit=AuditAction.GOAL_CREATED)
def sample(request: HttpRequest) -> HttpResponse:
    """Make the sample goal, ready to train, and go to its training page; without a model yet, to
    where one is chosen."""
    assert request.team is not None
    goal = services.create_sample(team=request.team, user=request.user)
    set_audit_target(request, goal)
    has_model = BaseModelChoice.objects.filter(goal=goal).exists()
    return redirect("training:page" if has_model else "basemodels:page", goal_id=goal.pk)
