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
                plan = item.plan
                splits = plan.get("splits", [])  # an older release kept none
                import_rows.fetch_rows(item)
                import_rows.stage_rows(item, job, plan["new"] + plan["changed"], splits)
            elif item:
                writer = LeaseWriter(job, item.examples.count(), _("Removing the rows"))
                services.revert_import(item, writer)
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
        if item is None:
            return
        step = result["step"]
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


def _import_of(job: Job) -> Import | None:
    """None when the import was cancelled meanwhile."""
    return Import.objects.select_related("dataset", "by").filter(job=job).first()
