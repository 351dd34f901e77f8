"""What the pages of pushes show."""

from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.basemodels.catalogue import hub_address
from finetune_app.core import charts
from finetune_app.core.sizes import size
from finetune_app.goals.models import Goal
from finetune_app.jobs.models import State
from finetune_app.jobs.presenters import place_facts
from finetune_app.model_export.adapter_files import adapter_files
from finetune_app.model_export.licences import LicenceTerms
from finetune_app.model_export.model_card import evaluation_of, hub_id, title
from finetune_app.model_export.models import HubPush, ModelExport
from finetune_app.training.models import Training

HEADLINES = {
    State.QUEUED: gettext_lazy("Waiting"),
    State.PREPARING: gettext_lazy("Looking what is there already"),
    State.RUNNING: gettext_lazy("Sending"),
    State.STOPPING: gettext_lazy("Stopping"),
    State.STOPPED: gettext_lazy("Stopped"),
    State.SUCCEEDED: gettext_lazy("It lies on the hub"),
    State.FAILED: gettext_lazy("It did not work"),
    State.CANCELLED: gettext_lazy("Cancelled"),
}


def form_context(
    training: Training,
    step: int | None,
    format: str,
    export: ModelExport | None,
    terms: LicenceTerms,
) -> dict[str, Any]:
    """What would be pushed, and under which terms."""
    base = training.base_model
    source = hub_id(base)
    return {
        "training": training,
        "step": step,
        "format": format,
        "format_name": _format_name(format),
        "title": title(training, step),
        "export": export,
        "size": export.size if export else _size(training, step),
        "terms": terms,
        "base": base,
        "base_page": f"{hub_address()}/{source}" if source else "",
        "tested": evaluation_of(training, step),
    }


def live_context(push: HubPush) -> dict[str, Any]:
    return {
        "push": push,
        "job": push.job,
        "headline": HEADLINES[State(push.job.state)],
        "facts": _facts(push),
        "bar": charts.bar(push.job.done, push.job.total) if push.job.is_active else "",
        "title": title(push.training, push.step),
        "format_name": _format_name(push.format),
        "there": f"{hub_address()}/{push.repository}",
    }


def pushes_of(goal: Goal) -> list[HubPush]:
    """Newest first."""
    return list(HubPush.objects.filter(training__goal=goal).select_related("job", "training"))


def _facts(push: HubPush) -> list[str]:
    """Where it stands in the queue, or how much is there."""
    job = push.job
    if waiting := place_facts(job):
        return waiting
    if not job.total or not job.is_active:
        return []
    return [_("%(done)s of %(total)s") % {"done": size(job.done), "total": size(job.total)}]


def _format_name(format: str) -> str:
    return str(dict(HubPush.CHOICES)[format])


def _size(training: Training, step: int | None) -> int:
    return sum(path.stat().st_size for path, _name in adapter_files(training, step))
