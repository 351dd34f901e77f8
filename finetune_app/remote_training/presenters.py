"""What the pages of remote trainings show."""

from decimal import Decimal
from typing import Any

import httpx
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED
from finetune_app.basemodels.estimates import at_most
from finetune_app.core import charts
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.providers import guard
from finetune_app.remote_training.forms import LaunchForm
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining, TrainingElsewhere
from finetune_app.remote_training.personal_data import PersonalData, personal_data_in
from finetune_app.remote_training.services import Quote, quote
from finetune_app.training.methods import method_options
from finetune_app.training.services import newest_version

MAX_EVENTS_SHOWN = 12
HEADLINES = {
    State.PREPARING: gettext_lazy("Asking the platform"),
    State.RUNNING: gettext_lazy("Asking the platform"),
    State.STOPPING: gettext_lazy("Cancelling it there"),
    State.STOPPED: gettext_lazy("Stopped before anything was sent"),
    State.SUCCEEDED: gettext_lazy("Done"),
    State.FAILED: gettext_lazy("It did not work"),
    State.CANCELLED: gettext_lazy("Cancelled"),
}
TRAIN_LOSS = ("train_loss", "training_loss", "loss")
VALIDATION_LOSS = ("valid_loss", "validation_loss", "full_valid_loss", "eval_loss")


def host_of(account: PlatformAccount) -> str:
    return guard.host_of(httpx.URL(account.url))


def personal_data(goal: Goal) -> PersonalData:
    """In the version that would be sent."""
    version = newest_version(goal)
    return personal_data_in(version) if version else PersonalData(0, is_complete=True)


def launch_context(goal: Goal, account: PlatformAccount, form: LaunchForm) -> dict[str, Any]:
    version = newest_version(goal)
    epochs = form["epochs"].value()
    passes = int(epochs) if str(epochs).isdecimal() and len(str(epochs)) < 4 else 1
    methods = [one for one in method_options(version) if one.name in account.kind.methods]
    possible = [one.name for one in methods if not one.why_not]
    method = form["method"].value()
    method = method if method in possible else SUPERVISED
    expected = quote(account, version, passes, method) if version else Quote(0, 0, None)
    return {
        "goal": goal,
        "account": account,
        "host": host_of(account),
        "version": version,
        "sent": version.counts.get("train", 0) + version.counts.get("validation", 0)
        if version
        else 0,
        "method": method,
        "method_options": methods,
        "form": form,
        "quote": expected,
        "cost": money(expected.cost),
        "personal": personal_data(goal),
        "after": goal.last_training,
    }


def money(cost: Decimal | None) -> str:
    """ "0.42", and the fourth digit where there would be only zeros; "" where it is not known."""
    if cost is None:
        return ""
    return f"{cost:.2f}" if cost >= Decimal("0.01") else f"{cost:.4f}"


def live_context(training: RemoteTraining) -> dict[str, Any]:
    """Context of the page of a training, whole or its live part."""
    job, events = training.job, list(training.events.all())
    losses = _losses(events, TRAIN_LOSS)
    validation = _losses(events, VALIDATION_LOSS)
    last = max((int(step) for step, _loss in (*losses, *validation)), default=0)
    return {
        "training": training,
        "job": job,
        "headline": headline(training),
        "facts": facts(training),
        # Else it would only say again how it stands.
        "says_why": job.is_active and job.message and (training.failures or not training.remote_id),
        "curve": charts.loss_chart(losses, validation, last) if losses or validation else "",
        "events": [event for event in events if not event.metrics][-MAX_EVENTS_SHOWN:],
        "host": host_of(training.account),
        "ready": training.endpoint_id is not None,
        "counts": training.version.counts,
        "by_pairs": training.spec["method"] == DPO,
        "times": at_most(int(training.spec["hyperparameters"].get("n_epochs", 1))),
        "cost": money(training.expected_cost),
        "may_run": may_run(training, money(training.expected_cost)),
    }


def may_run(training: TrainingElsewhere, cost: str) -> str:
    """What somebody has to know who deletes one whose end was never seen; "" of others."""
    if not training.may_run_there:
        return ""
    names = {"place": training.place, "name": training.remote_id or training.mark, "cost": cost}
    costs = _("and cost up to %(cost)s") % names if cost else _("and cost")
    return _(
        "It may still run on %(place)s as %(name)s, %(costs)s: its end was never seen. Deleted "
        "here, nobody follows or cancels it any more. Look there first."
    ) % (names | {"costs": costs})


def headline(training: RemoteTraining) -> str:
    job = training.job
    if job.state != State.QUEUED:
        return str(HEADLINES[State(job.state)])
    if job.stop_asked:
        return _("Cancelling it there")
    if not training.remote_id:
        return _("Sending the examples")
    return _("It runs there")


def facts(training: RemoteTraining) -> list[str]:
    """The platform's word for how it stands, and its tokens."""
    found = [training.remote_state] if training.remote_state else []
    if training.trained_tokens:
        found.append(_("%(n)s tokens") % {"n": f"{training.trained_tokens:,}"})
    return found


def _losses(events: list[Any], names: tuple[str, ...]) -> list[tuple[float, float]]:
    """(step, loss) of the events that tell it, each step once."""
    found = {}
    for event in events:
        step = event.metrics.get("step")
        loss = next((event.metrics[name] for name in names if name in event.metrics), None)
        if step is not None and loss is not None:
            found[step] = loss
    return sorted(found.items())
