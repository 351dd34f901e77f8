"""Trainings on Hugging Face Jobs: what a team lets them have; what leaves and what it costs, start,
follow, cancel, delete."""

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import is_owner, may_edit, member
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.basemodels.services import hub_token
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.hub_training import presenters, services
from finetune_app.hub_training.account import account_of, change_account
from finetune_app.hub_training.forms import AccountForm, LaunchForm
from finetune_app.hub_training.hardware import Machine, machines
from finetune_app.hub_training.models import HubTraining
from finetune_app.remote_training import services as elsewhere
from finetune_app.remote_training.presenters import personal_data
from finetune_app.remote_training.spending import AnotherQuote


@member(Role.OWNER, "GET", "POST", audit=AuditAction.HUB_JOBS_CHANGED)
def account(request: HttpRequest) -> HttpResponse:
    """The team's cap for the month, and the token that jobs get."""
    assert request.team
    known = account_of(request.team)
    form = AccountForm(request.POST or None, account=known)
    if request.method == "POST" and form.is_valid():
        try:
            change_account(team=request.team, **form.cleaned_data)
        except PlainError as problem:
            form.add_error("token", problem.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("hub_training:account")
    context = presenters.account_context(known, form)
    status = 422 if form.errors else 200
    return render_page(request, "hub_training/account.html", context, status=status)


@goal_page(Role.EDITOR, "GET", "POST", audit=AuditAction.SENT_TO_PLATFORM)
def launch(request: HttpRequest, goal: Goal) -> HttpResponse:
    """What leaves, the machines with their prices, and the agreement."""
    token = services.require_hub_token(goal)
    choice = services.require_trainable(goal)
    offered = machines(hub_token(goal.team) or "")
    shown = {name: request.GET[name] for name in ("flavor", "hours") if name in request.GET}
    form = LaunchForm(
        request.POST or None,
        initial=shown,
        token=token,
        machines=offered,
        has_personal_data=bool(personal_data(goal)),
    )
    if (
        request.method == "POST"
        and form.is_valid()
        and (made := _started(request, goal, form, offered))
    ):
        return redirect("hub_training:detail", goal_id=goal.pk, number=made.number)
    context = presenters.launch_context(goal, choice, offered, form)
    context |= {"is_owner": is_owner(request)}
    status = 422 if form.errors else 200
    return render_page(request, "hub_training/launch.html", context, partial="quote", status=status)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """How a training there stands; its live part for htmx."""
    context = presenters.live_context(_training_or_404(goal, number))
    context |= {"may_edit": may_edit(request)}
    return render_page(request, "hub_training/detail.html", context, partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    elsewhere.stop(training=_training_or_404(goal, number))
    return redirect("hub_training:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.resume(training=_training_or_404(goal, number))
    return redirect("hub_training:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.TRAINING_DELETED)
def delete(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    elsewhere.delete(
        training=_training_or_404(goal, number), though_it_may_run="may_run" in request.POST
    )
    messages.success(request, _("The record of training %(n)d is deleted.") % {"n": number})
    return redirect("remote_training:where", goal_id=goal.pk)


def _started(
    request: HttpRequest, goal: Goal, form: LaunchForm, offered: list[Machine]
) -> HubTraining | None:
    """The training, or None with an error in the form."""
    given = form.cleaned_data
    try:
        made = services.start(
            goal=goal,
            user=request.user,
            namespace=given["namespace"],
            machine=next(one for one in offered if one.flavor == given["flavor"]),
            hours=given["hours"],
            agreed=given["agreed"],
            after=given["after"],
        )
    except AnotherQuote as problem:
        form.add_error("consent", problem.message)
        return None
    asked = (request.user, given["namespace"], given["flavor"], given["hours"] * 3600)
    if (made.agreed_by, made.namespace, made.flavor, made.timeout_seconds) != asked:
        messages.info(
            request,
            _(
                "Training %(n)d runs on the hub already, so yours was not started. Start it when "
                "this one is over."
            )
            % {"n": made.number},
        )
    return made


def _training_or_404(goal: Goal, number: int) -> HubTraining:
    found = goal.hub_trainings.select_related("job", "version", "goal", "base_model", "training")
    return get_object_or_404(found, number=number)
