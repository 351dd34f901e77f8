"""What a worker asks and tells about an export."""

from typing import Any

from django.conf import settings
from django.utils.translation import gettext as _

from finetune_app.candidates import services as candidates
from finetune_app.core.files import local_folder, publish_folder
from finetune_app.exports import services
from finetune_app.exports.models import Export
from finetune_app.jobs.models import Job

ANSWER_TOKENS = 24  # of each prompt, which are compared


def child_spec(job: Job) -> dict[str, Any]:
    export = _of(job)
    training = export.training
    candidates.require_its_adapter(candidates.tuned_candidate(training=training))
    form, number_format = export.form.split("-", 1)
    base = training.base_model
    return {
        "kind": job.kind,
        "folder": str(settings.DATA_DIR / export.folder),
        "spec": {
            "base_model": str(local_folder(base.folder)),
            "adapter": str(local_folder(training.adapter_folder)),
            "form": form,
            "number_format": number_format,
            "prompts": services.require_prompts(training.goal),
            "max_new_tokens": ANSWER_TOKENS,
            "name": services.file_name(training),
            "about": {
                "title": _("%(goal)s, training %(n)d")
                % {"goal": training.goal.name, "n": training.number},
                "goal": training.goal.name,
                "base": base.name,
                "source": base.source,
                "revision": base.revision,
                "licence": base.licence,
                "sha256": training.adapter_sha256,
            },
        },
    }


def record(job: Job, event: dict[str, Any]) -> None:
    """The figures of the check, whether it passed or not."""
    if event["event"] == "parity":
        found = {name: value for name, value in event.items() if name != "event"}
        Export.objects.filter(job=job).update(parity=found)


def before_finish(job: Job, result: dict[str, Any]) -> None:
    """The file goes to the store, which may take a while."""
    if not result.get("stopped"):
        publish_folder(_of(job).folder)


def finish(job: Job, result: dict[str, Any]) -> None:
    """From here on it may be downloaded: it passed, or the child would have said an error."""
    if result.get("stopped") or not result["parity"]["passed"]:
        return
    Export.objects.filter(job=job).update(
        file=result["file"],
        size=result["size"],
        sha256=result["sha256"],
        parity=result["parity"],
    )


def fail(job: Job) -> None:
    """Nothing to undo: the child leaves no file behind."""


def _of(job: Job) -> Export:
    return Export.objects.select_related(
        "training__goal__team", "training__base_model", "training__version"
    ).get(job=job)
