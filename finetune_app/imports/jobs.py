"""The jobs of an import: look at the file, read it, add its rows, remove them again."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.checks.services import check_all
from finetune_app.core.files import local_path
from finetune_app.datasets.models import Import
from finetune_app.datasets.services.lease_writer import LeaseLost, LeaseWriter
from finetune_app.imports import import_rows, services
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import ChildSpec, JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job


class ImportHandler(JobHandler):
    kind = JobKind(name="import", runner="worker.imports.run")

    def child_spec(self, job: Job) -> ChildSpec | None:
        if job.spec["step"] in ("store", "remove"):
            return None  # only the database changes
        path = local_path(job.spec["stored_name"])
        return ChildSpec(folder=path.parent, spec=job.spec | {"file": str(path)})

    def run(self, job: Job) -> Result:
        result = {"step": job.spec["step"]}
        self.before_finish(job, result)
        return result

    def before_finish(self, job: Job, result: Result) -> None:
        """The long part, in short transactions: `finish` then only says that it is done."""
        item = _import_of(job)
        if item is None or result["step"] == "inspect":
            return
        try:
            if result["step"] == "remove":
                hold = LeaseWriter(job, item.examples.count(), _("Removing the rows"))
                services.revert_import(item, hold)
            elif result["step"] == "store":
                import_rows.stage_rows(item, job, item.plan["new"] + item.plan["changed"])
            elif not services.rejects_all(item, result):
                if item.mode == Import.Mode.APPEND:
                    import_rows.stage_rows(item, job, result["kept"])
                else:
                    Import.objects.filter(pk=item.pk).update(plan=import_rows.plan_changes(item))
        except LeaseLost:
            lease.release(job)

    def finish(self, job: Job, result: Result) -> None:
        item = _import_of(job)
        if item is None:
            return
        if result["step"] == "inspect":
            services.record_inspection(item, result)
        elif result["step"] == "remove":
            item.delete()  # its file goes with it (signals.py)
        elif result["step"] == "store" or services.record_read(item, result):
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
    """None when it was cancelled meanwhile."""
    return Import.objects.select_related("dataset", "by").filter(job=job).first()
