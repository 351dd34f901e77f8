"""The jobs of an import: inspect the file, read its rows, store them, or remove them again.

A child process inspects and reads, because a hostile file must not harm the worker. Rows are stored
and removed in the supervisor, in short transactions.
"""

from typing import cast

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts import storage
from finetune_app.checks.services import check_all
from finetune_app.core.files import local_path
from finetune_app.datasets.models import Import
from finetune_app.datasets.services.lease_writer import LeaseLost, LeaseWriter
from finetune_app.imports import import_rows, services
from finetune_app.imports.schemas import InspectResult, ReadResult
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job

STEPS_WITHOUT_CHILD = ("store", "remove")


class ImportHandler(JobHandler):
    kind = JobKind(name="import", runner="worker.imports.run")

    def child_spec(self, job: Job) -> ChildSpec | None:
        """`job.spec` is an `ImportSpec`."""
        if job.spec["step"] in STEPS_WITHOUT_CHILD:
            return None
        path = local_path(job.spec["stored_name"])
        added = {"file": str(path), "bytes_left": storage.bytes_left(job.team)}
        return ChildSpec(folder=path.parent, spec=job.spec | added)

    def run(self, job: Job) -> Result:
        """Store the rows of a confirmed plan, or remove those of a cancelled import."""
        step, item = job.spec["step"], _import_of(job)
        try:
            if item and step == "store":
                return _store(item, job)
            if item:
                _revert(item, job)
        except LeaseLost:
            lease.release(job)
        return {"step": step}

    def before_finish(self, job: Job, result: Result) -> None:
        """Once the rows are read: store them, or plan what they change."""
        item = _import_of(job)
        if item is None or result["step"] != "read":
            return
        import_rows.publish_file(item, import_rows.REJECTED)
        if services.rejects_all(item, cast(ReadResult, result)):
            return
        try:
            if item.mode == Import.Mode.APPEND:
                import_rows.stage_rows(item, job, result["kept"], result["splits"])
            else:
                plan = import_rows.plan_changes(item, result["splits"])
                import_rows.publish_file(item, import_rows.ROWS)
                Import.objects.filter(pk=item.pk).update(plan=plan)
        except LeaseLost:
            lease.release(job)

    def finish(self, job: Job, result: Result) -> None:
        item = _import_of(job)
        step = result["step"]
        if item is None or step == "plan":
            return
        if step == "inspect":
            services.record_inspection(item, cast(InspectResult, result))
        elif step == "remove":
            item.delete()  # signals.py deletes its files
        elif step == "store" or services.record_read(item, cast(ReadResult, result)):
            import_rows.publish_rows(item)
            dataset = item.dataset
            transaction.on_commit(lambda: check_all(dataset))

    def fail(self, job: Job) -> None:
        item = _import_of(job)
        if item is None or item.step == Import.Step.CANCELLED:
            return
        Import.objects.filter(pk=item.pk).update(step=Import.Step.FAILED, message=job.message)
        transaction.on_commit(lambda: services.revert_import(item))


def _store(item: Import, job: Job) -> Result:
    """Store the rows of a confirmed plan; if the dataset has changed since, plan again instead."""
    if item.step == Import.Step.PLANNED:  # again, by this job before it was interrupted
        return {"step": "plan"}
    plan = item.plan
    splits = plan.get("splits", [])  # an older release kept none
    import_rows.fetch_rows(item)
    try:
        import_rows.stage_rows(item, job, plan["new"] + plan["changed"], splits)
    except import_rows.DatasetChanged:
        _revert(item, job)
        new_plan = import_rows.plan_changes(item, splits)
        with transaction.atomic():
            LeaseWriter(job, 0, _("Reading the rows")).check()
            services.show_new_plan(item, new_plan)
        return {"step": "plan"}
    return {"step": "store"}


def _revert(item: Import, job: Job) -> None:
    writer = LeaseWriter(job, item.examples.count(), _("Removing the rows"))
    services.revert_import(item, writer)


def _import_of(job: Job) -> Import | None:
    """None when the import was cancelled meanwhile."""
    return Import.objects.select_related("dataset", "by").filter(job=job).first()
