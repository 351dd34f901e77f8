"""A file on its way in: upload, look, confirm, read, done."""

import json
import shutil
import uuid
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.core.files import local_path, publish_folder
from finetune_app.datasets import similar, splits
from finetune_app.datasets.models import Dataset, Edit, Import
from finetune_app.datasets.services.editing import add_rows, label
from finetune_app.datasets.text import clean_name, last_said, normalise
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Kind

ROOM_TO_BREATHE = 200 * 1024 * 1024  # bytes of disk that an import leaves free


def start_import(*, dataset: Dataset, by: User, file: File, name: str) -> Import:
    """Store the upload under a name of ours and have a worker look at it."""
    size = file.size or 0
    if not size:
        raise PlainError(_("The file is empty. Choose the one that holds your examples."))
    if size > settings.MAX_UPLOAD_BYTES:
        raise PlainError(too_large(), status=413)
    _room_for(size)
    stored = default_storage.save(f"uploads/{uuid.uuid4().hex}/upload", file)
    try:
        with transaction.atomic():
            item = Import.objects.create(
                dataset=dataset, by=by, file_name=clean_name(name), stored_name=stored, size=size
            )
            _enqueue(item, {"step": "look"})
    except BaseException:
        default_storage.delete(stored)
        raise
    return item


def too_large() -> str:
    most = settings.MAX_UPLOAD_BYTES // (1024 * 1024)
    return _(
        "The file is larger than %(most)s MB, the most we take at once. "
        "Bring it in smaller parts."
    ) % {"most": most}


def _room_for(size: int) -> None:
    free = shutil.disk_usage(settings.DATA_DIR).free
    if free < 3 * size + ROOM_TO_BREATHE:
        raise PlainError(
            _("There is not enough room on the disk for this file. Free some, then try again."),
            status=507,
        )


def look_again(*, item: Import, given: dict[str, Any]) -> None:
    """Look once more with the encoding, delimiter or header that the person chose."""
    with transaction.atomic():
        _move(item, (Import.Step.CONFIRM, Import.Step.FAILED), Import.Step.LOOKING)
        _enqueue(item, {"step": "look", "given": given})


def confirm_import(*, item: Import, mapping: dict[str, str]) -> None:
    """The columns are right: read the rows."""
    with transaction.atomic():
        _move(item, (Import.Step.CONFIRM,), Import.Step.READING)
        item.mapping = mapping
        item.save(update_fields=["mapping"])
        shape = {k: v for k, v in item.shape.items() if k not in ("rows", "filled")}
        _enqueue(item, {"step": "read", "mapping": mapping, "shape": shape})


def cancel_import(*, item: Import) -> None:
    """Forget the upload. What it brought in already stays (that is undone by an Edit)."""
    item.delete()  # its file and its job go with it (signals.py)


def _move(item: Import, before: tuple[str, ...], after: str) -> None:
    moved = Import.objects.filter(pk=item.pk, step__in=before).update(step=after, message="")
    if not moved:
        raise PlainError(_("This import has moved on meanwhile. Open it again."), status=409)
    item.step = after


def _enqueue(item: Import, spec: dict[str, Any]) -> None:
    item.job = jobs.create(
        team=item.dataset.goal.team,
        kind=Kind.IMPORT,
        title=_("Import of %s") % item.file_name,
        spec=spec | {"stored_name": item.stored_name, "file_name": item.file_name},
    )
    item.save(update_fields=["job"])


# ---- When the child is done ----


def take_look(item: Import, result: dict[str, Any]) -> None:
    item.shape, item.mapping = result["shape"], result["mapping"]
    item.step = Import.Step.CONFIRM
    item.save(update_fields=["shape", "mapping", "step"])


def get_ready(item: Import) -> None:
    """Have the signatures of the new texts worked out (similar.py remembers them)."""
    rows = _read(local_path(item.stored_name).parent / "rows.jsonl")
    some = [last_said(row["messages"], "user") for row in islice(rows, similar.MOST_ROWS)]
    splits.sign(item.dataset, [normalise(text)[: similar.LONGEST] for text in some])


def bring_in(item: Import, result: dict[str, Any]) -> None:
    """Turn what the child read into examples. Part of the transaction that ends the job."""
    folder = local_path(item.stored_name).parent
    added = add_rows(
        dataset=item.dataset,
        by=item.by,
        rows=_read(folder / "rows.jsonl"),
        source=item.file_name,
        brought_by=item,
    )
    item.rows_read, item.rows_kept = result["rows"], added
    item.rejected, item.rejected_count = result["rejected"], result["rejected_count"]
    item.step = Import.Step.DONE
    item.save()
    if added:
        what = _("Added %(examples)s from %(file)s") % {
            "examples": label(added), "file": item.file_name,
        }
        Edit.objects.create(dataset=item.dataset, by=item.by, what=what[:120], brought=item)

    def tidy() -> None:
        (folder / "rows.jsonl").unlink(missing_ok=True)
        publish_folder(item.folder)

    transaction.on_commit(tidy)


def _read(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)
