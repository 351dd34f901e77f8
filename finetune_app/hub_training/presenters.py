"""What the pages of trainings on the hub show."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.basemodels.hub import place_of_hub
from finetune_app.basemodels.models import BaseModelChoice, HubToken
from finetune_app.core import charts
from finetune_app.core.templatetags.ui import duration
from finetune_app.goals.models import Goal
from finetune_app.hub_training.account import account_of, spent_this_month
from finetune_app.hub_training.forms import DEFAULT_HOURS, AccountForm, LaunchForm
from finetune_app.hub_training.hardware import Machine
from finetune_app.hub_training.models import HubJobsAccount, HubTraining
from finetune_app.hub_training.packing import is_fetched_there
from finetune_app.hub_training.services import MAX_HOURS, Quote, can_go_on
from finetune_app.jobs.models import State
from finetune_app.remote_training.presenters import may_run, money, personal_data
from finetune_app.training.services import newest_version

HEADLINES = {
    State.PREPARING: gettext_lazy("Asking the hub"),
    State.RUNNING: gettext_lazy("Asking the hub"),
    State.STOPPING: gettext_lazy("Cancelling it there"),
    State.STOPPED: gettext_lazy("Stopped before anything was sent"),
    State.SUCCEEDED: gettext_lazy("The adapter is here"),
    State.FAILED: gettext_lazy("It did not work"),
    State.CANCELLED: gettext_lazy("Cancelled"),
}


def account_context(account: HubJobsAccount, form: AccountForm) -> dict[str, Any]:
    token = HubToken.objects.filter(team=account.team_id).first()
    spent = spent_this_month(account)
    return {
        "form": form,
        "account": account,
        "spent": money(spent) if spent else "0.00",
        "namespaces": token.namespaces if token else [],
    }


def launch_context(
    goal: Goal, choice: BaseModelChoice, machines: list[Machine], form: LaunchForm
) -> dict[str, Any]:
    version = newest_version(goal)
    assert version is not None  # services.require_trainable
    flavor, hours = form["flavor"].value(), str(form["hours"].value())
    machine = next((one for one in machines if one.flavor == flavor), machines[0])
    given = int(hours) if hours.isdecimal() and len(hours) < 4 else DEFAULT_HOURS
    quote = Quote(version.number, choice.base_model.slug, machine, min(max(given, 1), MAX_HOURS))
    base = choice.base_model
    return {
        "goal": goal,
        "base": base,
        "sends_base": not any(is_fetched_there(base, name) for name in base.files),
        "version": version,
        "sent": version.counts.get("train", 0) + version.counts.get("validation", 0),
        "form": form,
        "quote": quote,
        "cost": money(quote.cost),
        "host": place_of_hub(),
        "personal": personal_data(goal),
        "has_own_token": bool(account_of(goal.team).secret),
    }


def live_context(training: HubTraining) -> dict[str, Any]:
    """Context of the page of a training, whole or its live part."""
    job, events = training.job, training.events
    points = [one for one in events if one["event"] == "point"]
    losses = [(one["step"], one["loss"]) for one in points if one["loss"] is not None]
    validation = [
        (one["step"], one["validation_loss"])
        for one in points
        if one["validation_loss"] is not None
    ]
    phases = [one["text"] for one in events if one["event"] == "phase"]
    return {
        "training": training,
        "job": job,
        "headline": headline(training),
        "facts": facts(training),
        "bar": charts.bar(job.done, job.total) if job.is_active and job.total else "",
        "phase": phases[-1] if phases and job.is_active else "",
        "says_why": job.is_active and job.message and (training.failures or not training.remote_id),
        "curve": charts.loss_chart(losses, validation, int(job.total))
        if losses or validation
        else "",
        "can_go_on": can_go_on(training),
        "counts": training.version.counts,
        "cost": money(training.expected_cost),
        "spent": money(training.spent),
        "may_run": may_run(training, f"{money(training.expected_cost)} $"),
        "hours": training.timeout_seconds // 3600,
        "host": place_of_hub(),
    }


def headline(training: HubTraining) -> str:
    job = training.job
    if job.state != State.QUEUED:
        return str(HEADLINES[State(job.state)])
    if job.stop_asked:
        return _("Cancelling it there")
    if not training.remote_id:
        return _("Sending the examples")
    return _("It runs there") if training.stage == "RUNNING" else _("Waiting for a machine there")


def facts(training: HubTraining) -> list[str]:
    """Steps, and how long it has been there."""
    job, found = training.job, []
    if job.total:
        numbers = {"done": int(job.done), "total": int(job.total)}
        found.append(_("step %(done)d of %(total)d") % numbers)
    if training.seconds:
        found.append(str(duration(training.seconds)))
    return found
