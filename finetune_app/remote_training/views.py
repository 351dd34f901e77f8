"""Accounts on training platforms, and the trainings that run there."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext as _

from finetune_app.accounts.access import is_owner, may_edit, member
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.basemodels.automatic_settings import SUPERVISED
from finetune_app.basemodels.models import HubToken
from finetune_app.core.audit import AuditAction
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.remote_training import presenters, services
from finetune_app.remote_training.forms import ChangeForm, LaunchForm, account_form
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining
from finetune_app.remote_training.platform_kinds import BY_NAME, KINDS
from finetune_app.remote_training.platforms import missing_client
from finetune_app.remote_training.spending import AnotherQuote

# ---- Accounts ----


@member(Role.VIEWER, "GET")
def accounts(request: HttpRequest) -> HttpResponse:
    context = {"accounts": _accounts(request), "is_owner": is_owner(request)}
    return render_page(request, "remote_training/accounts.html", context)


@member(Role.OWNER, "GET", "POST", audit=AuditAction.PLATFORM_ADDED)
def add_account(request: HttpRequest) -> HttpResponse:
    """First the platform is chosen, then what that one needs is asked for."""
    kind = BY_NAME.get(request.GET.get("platform", ""))
    if kind is None or not kind.is_installed:
        kinds = [(one, missing_client(one)) for one in KINDS]
        return render_page(request, "remote_training/choose_platform.html", {"kinds": kinds})
    form = account_form(kind)(request.POST or None, kind=kind)
    if request.method == "POST" and form.is_valid():
        assert request.team
        try:
            services.connect_account(team=request.team, user=request.user, **form.given())
        except PlainError as problem:
            form.add_error(None, problem.message)
        else:
            messages.success(request, _("Connected: the key works."))
            return redirect("remote_training:accounts")
    context, status = {"form": form, "kind": kind}, 422 if form.errors else 200
    return render_page(request, "remote_training/add_account.html", context, status=status)


@member(Role.OWNER, "GET", "POST", audit=AuditAction.PLATFORM_CHANGED)
def change_account(request: HttpRequest, account_id: int) -> HttpResponse:
    account = _account_or_404(request, account_id)
    initial = {"price": account.price, "spending_cap": account.spending_cap}
    form = ChangeForm(request.POST or None, kind=account.kind, account=account, initial=initial)
    if request.method == "POST" and form.is_valid():
        try:
            services.change_account(account=account, **form.cleaned_data)
        except PlainError as problem:
            form.add_error("key", problem.message)
        else:
            messages.success(request, _("Saved."))
            return redirect("remote_training:accounts")
    context = {"form": form, "account": account}
    status = 422 if form.errors else 200
    return render_page(request, "remote_training/change_account.html", context, status=status)


@member(Role.OWNER, "POST", audit=AuditAction.PLATFORM_DELETED)
def delete_account(request: HttpRequest, account_id: int) -> HttpResponse:
    services.delete_account(account=_account_or_404(request, account_id))
    messages.success(request, _("The account is removed."))
    return redirect("remote_training:accounts")


# ---- Trainings ----


@goal_page(Role.VIEWER, "GET")
def where(request: HttpRequest, goal: Goal) -> HttpResponse:
    """This machine or a platform, and the trainings on platforms so far."""
    context = {
        "goal": goal,
        "accounts": [(one, presenters.host_of(one)) for one in _accounts(request)],
        "trainings": goal.remote_trainings.select_related("job", "account"),
        # Of the room above, by the goal's own relation.
        "on_hub": goal.hub_trainings.select_related("job"),
        "hub_account": HubToken.objects.filter(team=goal.team).exclude(account="").first(),
        "is_owner": is_owner(request),
    }
    return render_page(request, "remote_training/where.html", context)


@goal_page(Role.EDITOR, "GET", "POST", audit=AuditAction.SENT_TO_PLATFORM)
def launch(request: HttpRequest, goal: Goal, account_id: int) -> HttpResponse:
    """What leaves, what it costs, and the agreement."""
    account = _account_or_404(request, account_id)
    initial = {name: request.GET[name] for name in ("epochs", "method") if name in request.GET}
    form = LaunchForm(
        request.POST or None,
        initial=initial,
        kind=account.kind,
        has_personal_data=bool(presenters.personal_data(goal)),
    )
    if (
        request.method == "POST"
        and form.is_valid()
        and (made := _started(request, goal, account, form))
    ):
        return redirect("remote_training:detail", goal_id=goal.pk, number=made.number)
    context = presenters.launch_context(goal, account, form)
    status = 422 if form.errors else 200
    return render_page(
        request, "remote_training/launch.html", context, partial="quote", status=status
    )


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """How a training there stands; its live part for htmx."""
    training = _training_or_404(goal, number)
    context = presenters.live_context(training) | {"may_edit": may_edit(request)}
    return render_page(request, "remote_training/detail.html", context, partial="live")


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.stop(training=_training_or_404(goal, number))
    return redirect("remote_training:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.resume(training=_training_or_404(goal, number))
    return redirect("remote_training:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.TRAINING_DELETED)
def delete(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.delete(
        training=_training_or_404(goal, number), though_it_may_run="may_run" in request.POST
    )
    messages.success(request, _("Training %(n)d is deleted here.") % {"n": number})
    return redirect("remote_training:where", goal_id=goal.pk)


def _started(
    request: HttpRequest, goal: Goal, account: PlatformAccount, form: LaunchForm
) -> RemoteTraining | None:
    """The training, or None with an error in the form."""
    given = form.cleaned_data
    try:
        made = services.start(
            goal=goal,
            account=account,
            user=request.user,
            model=given["model"],
            epochs=given["epochs"],
            method=given["method"] or SUPERVISED,
            agreed=given["agreed"],
            after=given["after"],
        )
    except AnotherQuote as problem:
        form.add_error("consent", problem.message)
        return None
    asked = (request.user, given["model"].strip(), given["epochs"])
    if (made.agreed_by, made.spec["model"], made.spec["hyperparameters"]["n_epochs"]) != asked:
        messages.info(
            request,
            _(
                "Training %(n)d runs on %(account)s already, so yours was not started. Start it "
                "when this one is over."
            )
            % {"n": made.number, "account": account},
        )
    return made


def _accounts(request: HttpRequest) -> Any:
    assert request.team
    return request.team.platform_accounts.select_related("added_by")


def _account_or_404(request: HttpRequest, account_id: int) -> PlatformAccount:
    found: PlatformAccount | None = _accounts(request).filter(pk=account_id).first()
    if found is None:
        raise Http404("no such account")
    return found


def _training_or_404(goal: Goal, number: int) -> RemoteTraining:
    found = goal.remote_trainings.select_related("job", "account", "version", "goal")
    training = found.filter(number=number).first()
    if training is None:
        raise Http404("no such training")
    return training
