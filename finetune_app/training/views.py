"""Step 4: the launch page, and the page of a training."""

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED, AutomaticSettings
from finetune_app.basemodels.estimates import at_most, automatic_for, estimate
from finetune_app.basemodels.models import BaseModelChoice
from finetune_app.core.audit import AuditAction
from finetune_app.core.requests import render_page
from finetune_app.core.thinking import NO
from finetune_app.goals.access import goal_page
from finetune_app.goals.models import Goal
from finetune_app.training import services
from finetune_app.training.forms import SettingsForm
from finetune_app.training.methods import (
    METHODS,
    known_method,
    method_options,
    start_of,
    too_few_pairs,
)
from finetune_app.training.models import Training
from finetune_app.training.presenters import live_context, setting_fields
from finetune_app.training.tunings import default_tuning, tuning_options


@goal_page(Role.VIEWER, "GET")
def page(request: HttpRequest, goal: Goal) -> HttpResponse:
    """The newest training; the launch page while there is none, or with ?new (and ?method=dpo)."""
    newest = goal.trainings.first()
    if newest and "new" not in request.GET:
        return redirect("training:detail", goal_id=goal.pk, number=newest.number)
    method = request.GET.get("method", SUPERVISED)
    if method not in METHODS or (method == DPO and too_few_pairs(services.newest_version(goal))):
        method = SUPERVISED
    return render_page(request, "training/launch.html", launch_context(goal, method))


@goal_page(Role.EDITOR, "POST")
def start(request: HttpRequest, goal: Goal) -> HttpResponse:
    shown = (request.POST.get("version"), request.POST.get("base_model"))
    if shown != (None, None) and shown != _launch_state(goal):
        messages.warning(
            request,
            _(
                "The dataset or the base model has changed since you opened "
                "this page. Look again, then press Train."
            ),
        )
        return redirect(reverse("training:page", args=[goal.pk]) + "?new")
    method = known_method(request.POST.get("method", SUPERVISED))
    form = SettingsForm(request.POST, automatic=_automatic(goal, method).settings)
    if not form.is_valid():
        context = launch_context(goal, method, form) | {"open": True}
        return render_page(request, "training/launch.html", context, status=422)
    training = services.start(goal=goal, user=request.user, chosen=form.chosen(), method=method)
    return redirect("training:detail", goal_id=goal.pk, number=training.number)


@goal_page(Role.VIEWER, "GET")
def detail(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    """A training with its curve and sample answers; its live part for htmx."""
    training = get_training(goal, number)
    return render_page(
        request, "training/detail.html", live_context(training, request.membership), partial="live"
    )


@goal_page(Role.EDITOR, "POST")
def stop(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    training = get_training(goal, number)
    services.stop(training=training)
    return redirect("training:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST")
def resume(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    training = get_training(goal, number)
    services.resume(training=training)
    return redirect("training:detail", goal_id=goal.pk, number=number)


@goal_page(Role.EDITOR, "POST", audit=AuditAction.TRAINING_DELETED)
def delete(request: HttpRequest, goal: Goal, number: int) -> HttpResponse:
    services.delete(training=get_training(goal, number))
    messages.success(request, _("Training %(n)d is deleted, with its files.") % {"n": number})
    return redirect("training:page", goal_id=goal.pk)


def get_training(goal: Goal, number: int) -> Training:
    """Raises Http404."""
    found = (
        goal.trainings.select_related("job", "version", "base_model").filter(number=number).first()
    )
    if found is None:
        raise Http404("no such training")
    return found


def _base_model_choice(goal: Goal) -> BaseModelChoice | None:
    return BaseModelChoice.objects.select_related("base_model").filter(goal=goal).first()


def _launch_state(goal: Goal) -> tuple[str, str]:
    """Ids of the version and the base model, as the launch page sends them back."""
    version, choice = services.newest_version(goal), _base_model_choice(goal)
    return str(version.pk if version else ""), str(choice.base_model_id if choice else "")


def _automatic(goal: Goal, method: str) -> AutomaticSettings:
    version, choice = services.newest_version(goal), _base_model_choice(goal)
    if version is None:
        return AutomaticSettings()
    return automatic_for(version, choice.base_model if choice else None, method)


def launch_context(
    goal: Goal, method: str = SUPERVISED, form: SettingsForm | None = None
) -> dict[str, Any]:
    version, choice = services.newest_version(goal), _base_model_choice(goal)
    automatic = _automatic(goal, method)
    form = form or SettingsForm(automatic=automatic.settings)
    fields, fixed = setting_fields(form, automatic)
    starts_from = start_of(goal, choice.base_model, method) if choice else None
    expected = estimate(choice.base_model, version, method) if version and choice else None
    return {
        "goal": goal,
        "version": version,
        "choice": choice,
        "method": method,
        "method_options": method_options(version, choice.thinking if choice else NO),
        "starts_from": starts_from,
        "tuning_options": tuning_options(choice.base_model, version, method, starts_from)
        if version and choice
        else [],
        "chosen_tuning": form["tuning"].value() or default_tuning(starts_from),
        "form": form,
        "setting_fields": fields,
        "fixed": fixed,
        "estimate": expected,
        "times": at_most(expected.work.epochs) if expected else "",
        "earlier": goal.trainings.select_related("job", "version"),
    }
