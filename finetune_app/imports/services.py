"""The steps of an import: upload, inspection, confirmed columns, plan, stored rows; or cancelled.

Every change of step is a compare-and-set (`_change_step`), so that a second click does nothing.
"""

import hashlib
import json
import uuid
from contextlib import suppress
from pathlib import Path
from typing import cast

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.accounts import storage
from finetune_app.accounts.models import Team, User
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset, Edit, Import
from finetune_app.datasets.services import batch_edits
from finetune_app.datasets.services.lease_writer import LeaseWriter
from finetune_app.datasets.services.undoing import undo
from finetune_app.datasets.text import clean_name
from finetune_app.imports.abandoned_uploads import delete_abandoned_uploads
from finetune_app.imports.column_mapping import ALL_FOR_TEST
from finetune_app.imports.import_rows import delete_staged_rows
from finetune_app.imports.models import SavedMapping
from finetune_app.imports.schemas import (
    ChangePlan,
    ColumnMapping,
    FileShape,
    ImportSpec,
    InspectResult,
    ReadOptions,
    ReadResult,
    StepSpec,
)
from finetune_app.jobs import services as jobs

MAX_ROWS_REMOVED_IN_REQUEST = 5_000  # more are removed by a job


def start_import(*, dataset: Dataset, by: User, file: "File[bytes]", name: str) -> Import:
    """Store an uploaded file under a generated name, and have a worker inspect it.

    Raises PlainError when it is empty or too large, or the disk is too full.
    """
    size = file.size or 0
    if not size:
        raise PlainError(_("The file is empty. Choose the one that holds your examples."))
    if size > settings.MAX_UPLOAD_BYTES:
        raise PlainError(too_large_message(), status=413)
    delete_abandoned()
    storage.require_space(dataset.goal.team, size)
    require_disk_space(size)
    stored = default_storage.save(f"uploads/{uuid.uuid4().hex}/upload", file)
    try:
        with transaction.atomic():
            return create_import(dataset=dataset, by=by, name=name, stored=stored, size=size)
    except BaseException:
        default_storage.delete(stored)
        raise


def create_import(*, dataset: Dataset, by: User, name: str, stored: str, size: int) -> Import:
    """Create the import of a stored file, and have a worker inspect it."""
    item = Import.objects.create(
        dataset=dataset, by=by, file_name=clean_name(name), stored_name=stored, size=size
    )
    _create_job(item, {"step": "inspect"})
    return item


def too_large_message() -> str:
    return _(
        "The file is larger than %(most)s MB, the largest we accept at once. "
        "A browser with JavaScript sends up to %(pieces)s GB in pieces; "
        "otherwise split it into smaller files."
    ) % {
        "most": settings.MAX_UPLOAD_BYTES // 1024**2,
        "pieces": settings.MAX_LARGE_UPLOAD_BYTES // 1024**3,
    }


def require_disk_space(size: int, expected: int = 0) -> None:
    """Raises PlainError unless the disk has space for the file (`size` bytes), the rows read from
    it and its examples, besides `expected` bytes of unfinished uploads."""
    if storage.free_disk_bytes() - expected < 3 * size:
        raise PlainError(
            _("There is not enough space on the disk for this file. Free some, then try again."),
            status=507,
        )


def unpacked_bytes(team: Team) -> int:
    """Of the rows that were read from the files of a team's imports."""
    folders = {item.folder for item in Import.objects.filter(dataset__goal__team=team)}
    rows = [Path(settings.DATA_DIR) / folder / "rows.jsonl" for folder in folders]
    return sum(file.stat().st_size for file in rows if file.exists())


def reinspect(*, item: Import, options: ReadOptions) -> None:
    """Inspect the file again with the encoding, delimiter or header that a person chose."""
    with transaction.atomic():
        _change_step(item, (Import.Step.CONFIRM, Import.Step.FAILED), Import.Step.LOOKING)
        _create_job(item, {"step": "inspect", "options": options})


def confirm_import(
    *,
    item: Import,
    mapping: ColumnMapping,
    mode: str = Import.Mode.APPEND,
    whole_or_nothing: bool = False,
) -> None:
    """Read the rows with these columns, and save the mapping for the next file of this shape."""
    with transaction.atomic():
        _change_step(item, (Import.Step.CONFIRM, Import.Step.PLANNED), Import.Step.READING)
        item.mapping, item.mode, item.whole_or_nothing = mapping, mode, whole_or_nothing
        item.plan = {}
        item.save(update_fields=["mapping", "mode", "whole_or_nothing", "plan"])
        SavedMapping.objects.update_or_create(
            team=item.dataset.goal.team,
            fingerprint=shape_fingerprint(item.shape),
            defaults={"mapping": _for_later_files(mapping)},
        )
        _create_read_job(item)


def _for_later_files(mapping: ColumnMapping) -> dict[str, str]:
    """Without what was chosen for this file alone."""
    once = ("why", "unread")
    kept = {name: str(value) for name, value in mapping.items() if name not in once}
    return kept | {"split": ""} if kept.get("split") == ALL_FOR_TEST else kept


def import_good_rows(*, item: Import) -> None:
    """Import the good rows of a file that was rejected as a whole."""
    if not item.whole_or_nothing:
        raise PlainError(_("This import has changed in the meantime. Open it again."), status=409)
    with transaction.atomic():
        _change_step(item, (Import.Step.FAILED,), Import.Step.READING)
        item.whole_or_nothing = False
        item.save(update_fields=["whole_or_nothing"])
        _create_read_job(item)


def return_to_columns(*, item: Import) -> None:
    """Go back from the plan to the columns."""
    _change_step(item, (Import.Step.PLANNED,), Import.Step.CONFIRM)


def apply_plan(*, item: Import) -> None:
    """Carry out the plan of an import that updates or replaces examples, unless the dataset has
    changed since: then the job plans it again."""
    with transaction.atomic():
        _change_step(item, (Import.Step.PLANNED,), Import.Step.ADDING)
        _create_job(item, {"step": "store"})


def forget_saved_mapping(*, item: Import) -> None:
    """Use the inferred mapping again, here and for the next file of this shape."""
    with transaction.atomic():
        _change_step(item, (Import.Step.CONFIRM,), Import.Step.CONFIRM)
        SavedMapping.objects.filter(
            team=item.dataset.goal.team, fingerprint=shape_fingerprint(item.shape)
        ).delete()
        item.mapping = item.shape.get("guess", item.mapping)
        item.shape.pop("remembered", None)
        item.save(update_fields=["mapping", "shape"])


def cancel_import(*, item: Import) -> None:
    """Delete the upload and the rows stored so far. Raises PlainError when the import is done."""
    before = tuple(step for step in Import.Step.values if step != Import.Step.DONE)
    with transaction.atomic():
        _change_step(item, before, Import.Step.CANCELLED)
        if item.job and item.job.is_active:
            jobs.cancel(item.job)
    _delete_cancelled(item)


def _delete_cancelled(item: Import) -> None:
    """Delete a cancelled import, in a job if it has so many rows that this takes minutes. They are
    hidden meanwhile."""
    if item.examples.all()[: MAX_ROWS_REMOVED_IN_REQUEST + 1].count() > MAX_ROWS_REMOVED_IN_REQUEST:
        with transaction.atomic():
            _create_job(item, {"step": "remove"}, _("Removing the rows of %s"))
    else:
        revert_import(item)
        item.delete()  # signals.py deletes its files


def revert_import(item: Import, writer: LeaseWriter | None = None) -> None:
    """Undo the changes of an unfinished import, and remove the rows it has stored. May be repeated
    after an interruption."""
    edits = Edit.objects.filter(source_import=item)
    for edit in edits.filter(undone_at=None):
        if edit.undoes_id:  # the undo that was interrupted
            batch_edits.run_to_end(edit)
        else:
            undo(edit=edit, by=item.by, here=True)
    edits.delete()
    delete_staged_rows(item, writer)


def delete_abandoned() -> None:
    """Delete uploads that nobody resumed, and cancelled imports whose deletion was interrupted.

    Called whenever somebody starts an upload.
    """
    delete_abandoned_uploads()
    for item in Import.objects.select_related("job").filter(step=Import.Step.CANCELLED):
        if item.job and item.job.is_active and item.job.spec.get("step") == "remove":
            continue
        with suppress(PlainError):  # a job is changing the examples
            _delete_cancelled(item)


def _create_read_job(item: Import) -> None:
    for_page = ("rows", "filled", "first_unreadable", "guess")
    shape = cast(FileShape, {k: v for k, v in item.shape.items() if k not in for_page})
    _create_job(item, {"step": "read", "mapping": item.mapping, "shape": shape})


def _change_step(item: Import, before: tuple[str, ...], after: str) -> None:
    """Raises PlainError when the import is at none of the steps in `before`."""
    changed = Import.objects.filter(pk=item.pk, step__in=before).update(step=after, message="")
    if not changed:
        raise PlainError(_("This import has changed in the meantime. Open it again."), status=409)
    item.step = after


def _create_job(item: Import, step: StepSpec, title: str = "") -> None:
    spec: ImportSpec = {**step, "stored_name": item.stored_name, "file_name": item.file_name}
    item.job = jobs.create(
        team=item.dataset.goal.team,
        kind="import",
        title=(title or _("Import of %s")) % item.file_name,
        spec=spec,
    )
    item.save(update_fields=["job"])


# ---- Results of the child ----


def record_inspection(item: Import, result: InspectResult) -> None:
    """Store the shape, and the saved mapping for it, else the inferred one."""
    item.shape, item.mapping = result["shape"], result["mapping"]
    item.shape["guess"] = result["mapping"]
    saved = SavedMapping.objects.filter(
        team=item.dataset.goal.team, fingerprint=shape_fingerprint(item.shape)
    ).first()
    if saved:
        item.shape["remembered"] = True
        item.mapping = item.mapping | saved.mapping
    item.step = Import.Step.CONFIRM
    item.save(update_fields=["shape", "mapping", "step"])


def record_read(item: Import, result: ReadResult) -> bool:
    """Store the counts and the rejected rows. Returns whether the rows may be published now."""
    item.rows_read, item.rows_kept = result["rows"], result["kept"]
    item.rejected, item.rejected_count = result["rejected"], result["rejected_count"]
    item.thoughts = result.get("thoughts", 0)
    item.worse_thoughts = result.get("worse_thoughts", 0)
    ready = item.mode == Import.Mode.APPEND
    if rejects_all(item, result):
        ready, item.step = False, Import.Step.FAILED
        item.message = ngettext(
            "%(n)s row cannot be used, and you wanted all or nothing. Nothing was added.",
            "%(n)s rows cannot be used, and you wanted all or nothing. Nothing was added.",
            item.rejected_count,
        ) % {"n": f"{item.rejected_count:,}"}
    elif not ready:
        item.step = Import.Step.PLANNED
    item.save()
    return ready


def show_new_plan(item: Import, plan: ChangePlan) -> None:
    """Ask again, with a plan of the dataset as it is now, unless the import was cancelled."""
    Import.objects.filter(pk=item.pk, step=Import.Step.ADDING).update(
        step=Import.Step.PLANNED,
        plan=plan,
        message=_("Not done yet: the dataset changed. Look again."),
    )


def rejects_all(item: Import, result: ReadResult) -> bool:
    """Whether a rejected row rejects the whole file."""
    return bool(item.whole_or_nothing and result["rejected_count"])


def shape_fingerprint(shape: FileShape) -> str:
    """Equal for files of the same format with the same columns."""
    content = json.dumps([shape.get("format", ""), shape["columns"]], ensure_ascii=False)
    return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()
