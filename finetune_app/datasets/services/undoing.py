"""Undoing an edit. The undo is itself an Edit, so it can be undone too."""

from collections.abc import Callable

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Change, Dataset, Edit, Example
from finetune_app.datasets.services import batch_edits
from finetune_app.datasets.services.editing import change_many, set_deleted, state_of
from finetune_app.datasets.services.locking import lock
from finetune_app.jobs import services as jobs

CHANGES_BATCH = 2_000  # changes undone in one transaction
MOVED_BATCH = 5_000  # rows moved into or out of the trash in one transaction


def undo(*, edit: Edit, by: User | None, here: bool = False) -> tuple[Edit, int]:
    """Undo `edit`. Returns the new edit, and how many examples were changed since and stay.

    A running edit is stopped first. Very many rows are put back by a job; the new edit has the
    rest in its `todo`. With `here`, all of it happens now. Raises PlainError (409) when the edit
    is undone already.
    """
    with transaction.atomic():
        lock(edit.dataset)
        fresh = Edit.objects.filter(pk=edit.pk, undone_at=None)
        once = fresh.update(undone_at=timezone.now(), todo={})
        if not once:
            raise PlainError(_("This change has already been undone."), status=409)
        edit = Edit.objects.get(pk=edit.pk)  # with the steps done so far
        rows = _rows_of(edit)
        back = Edit.objects.create(
            dataset=edit.dataset,
            by=by,
            what=(_("Undid: %s") % edit.what)[:120],
            source_import=edit.source_import,
            undoes=edit,
            removes_rows=bool(edit.source_import_id) and not edit.removes_rows,
            left=max(0, edit.count - edit.changes.count()),  # of examples deleted for good
            todo={"do": "undo", "edit": edit.pk, "changed": 0, "next": 0, "last": rows},
        )
    if edit.job and edit.job.is_active:
        jobs.cancel(edit.job)
    back = batch_edits.run_to_end(back) if here else batch_edits.run(back, rows)
    return back, back.left


def _rows_of(edit: Edit) -> int:
    rows = edit.changes.count()
    return (
        rows + _rows_added_by(edit).count() + _rows_removed_by(edit).count()
        if edit.source_import_id
        else rows
    )


@batch_edits.batch_step("undo")
def _undo_step(back: Edit, dataset: Dataset) -> None:
    edit = Edit.objects.filter(pk=back.todo["edit"]).first()
    steps: tuple[Callable[[Edit, Edit, Dataset], int], ...] = (_undo_changes,)
    if edit and edit.source_import_id:
        steps = (_undo_changes, _undo_additions, _undo_removals)
    for step in steps:
        if edit and (done := step(edit, back, dataset)):
            back.todo["next"] += done
            return
    back.todo = {}


def _undo_changes(edit: Edit, back: Edit, dataset: Dataset) -> int:
    left = edit.changes.filter(pk__gt=back.todo["changed"]).select_related("example")
    changes = list(left.order_by("pk")[:CHANGES_BATCH])
    if changes:
        current = [change for change in changes if _is_current(change)]
        back.left += len(changes) - len(current)
        _reverse(current, back)
        back.todo["changed"] = changes[-1].pk
    return len(changes)


def _undo_additions(edit: Edit, back: Edit, dataset: Dataset) -> int:
    return _move_some(_rows_added_by(edit), back, away=True)


def _undo_removals(edit: Edit, back: Edit, dataset: Dataset) -> int:
    return _move_some(_rows_removed_by(edit), back, away=False)


def _move_some(rows: QuerySet[Example], back: Edit, *, away: bool) -> int:
    """Stamp the next rows, which then no longer match `rows`."""
    some = list(rows.order_by("pk").values_list("pk", flat=True)[:MOVED_BATCH])
    if some:
        set_deleted(some, back, away=away)
    return len(some)


def _is_current(change: Change) -> bool:
    """Whether the example still has the values that this change set."""
    current = state_of(change.example, change.after)
    return all(current[key] == value for key, value in change.after.items())


def _reverse(changes: list[Change], back: Edit) -> None:
    before = {change.example_id: change.before for change in changes}
    change_many(
        dataset=back.dataset,
        by=back.by,
        what="",
        edit=back,
        examples=[change.example for change in changes],
        fields=lambda example: before[example.pk],
    )


def _rows_added_by(edit: Edit) -> QuerySet[Example]:
    """Rows that an import added, or that the undo of one restored from the trash."""
    rows = edit.dataset.examples.kept()
    if edit.removes_rows:
        return rows.filter(changed_at=edit.at).exclude(source_import=edit.source_import_id)
    return rows.filter(source_import=edit.source_import_id)


def _rows_removed_by(edit: Edit) -> QuerySet[Example]:
    """Rows that the edit moved into the trash and nobody changed since: they have its time."""
    return edit.dataset.examples.filter(deleted_at=edit.at)
