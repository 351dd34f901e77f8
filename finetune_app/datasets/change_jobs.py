"""The job that changes very many examples. It needs no child process."""

from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.datasets.events import examples_changed
from finetune_app.datasets.models import Dataset, Edit
from finetune_app.datasets.services import batch_edits, undo
from finetune_app.datasets.services.lease_writer import LeaseLost, LeaseWriter
from finetune_app.datasets.services.locking import vacuum_after_commit
from finetune_app.jobs import lease
from finetune_app.jobs.handlers import JobHandler, Result
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job


class ChangeHandler(JobHandler):
    kind = JobKind(name="change")

    def run(self, job: Job) -> Result:
        """Change the rows in short transactions. Started again, it continues where it was."""
        edit = _edit_of(job)
        if edit is None:
            raise PlainError(_("The examples are gone, or this change was undone."))
        hold = LeaseWriter(job, edit.todo.get("last", 0), _("Changing the examples"))
        try:
            while edit.todo:
                hold.done = edit.todo.get("next", 0)
                hold.total = edit.todo.get("last", 0)
                edit = batch_edits.run_next_step(edit, guard=hold.check)
                hold.pause()
        except (LeaseLost, Edit.DoesNotExist):
            lease.release(job)
        return {}

    def finish(self, job: Job, result: Result) -> None:
        vacuum_after_commit()
        edit = _edit_of(job)
        if edit:
            transaction.on_commit(lambda: examples_changed.send(Dataset, dataset=edit.dataset))

    def fail(self, job: Job) -> None:
        """Undo what was done so far. A failed undo stays half done, and the dataset page says
        so."""
        edit = _edit_of(job)
        if edit and edit.todo and not edit.undoes_id:
            transaction.on_commit(lambda: undo(edit=edit, by=edit.by))


def _edit_of(job: Job) -> Edit | None:
    """The edit of the job; None if it was deleted or undone in the meantime."""
    edits = Edit.objects.select_related("dataset__goal__team", "by", "job")
    return edits.filter(job=job, undone_at=None).first()
