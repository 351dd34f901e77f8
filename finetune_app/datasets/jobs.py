"""What the engine room asks of this room about imports."""

from typing import Any

from django.db import transaction

from finetune_app.core.files import local_path
from finetune_app.datasets import checks
from finetune_app.datasets.models import Import
from finetune_app.datasets.services import imports
from finetune_app.jobs.models import Job


def child_spec(job: Job) -> dict[str, Any]:
    path = local_path(job.spec["stored_name"])
    return {"kind": "import", "folder": str(path.parent), "spec": job.spec | {"file": str(path)}}


def record(job: Job, event: dict[str, Any]) -> None:
    """An import has no events of its own."""


def before_finish(job: Job, result: dict[str, Any]) -> None:
    """Reading thousands of texts for their likeness; `finish` finds that done."""
    item = _import_of(job)
    if item is not None and result["step"] != "look":
        imports.get_ready(item)


def finish(job: Job, result: dict[str, Any]) -> None:
    item = _import_of(job)
    if item is None:
        return
    if result["step"] == "look":
        imports.take_look(item, result)
        return
    imports.bring_in(item, result)
    dataset = item.dataset
    transaction.on_commit(lambda: checks.run(dataset))


def fail(job: Job) -> None:
    item = _import_of(job)
    if item is not None:
        Import.objects.filter(pk=item.pk).update(step=Import.Step.FAILED, message=job.message)


def _import_of(job: Job) -> Import | None:
    """None when it was cancelled meanwhile."""
    return Import.objects.select_related("dataset", "by").filter(job=job).first()
