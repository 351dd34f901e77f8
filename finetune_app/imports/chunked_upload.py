"""Uploads of large files in chunks, which may be resumed after a reload or a lost connection.

The chunks are written into one file on this disk, at the offset they name; `Upload.received` says
how many bytes there are. A complete file becomes an import like any other. Why this is not a
library: docs/decisions/0026-chunked-upload-without-a-library.md. The largest file is set in
settings.py.
"""

import fcntl
import os
import uuid
from pathlib import Path
from typing import BinaryIO, Protocol

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts import storage
from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.core.files import is_local
from finetune_app.datasets.models import Dataset, Import
from finetune_app.datasets.text import clean_name
from finetune_app.imports.models import Upload
from finetune_app.imports.services import create_import, delete_abandoned, require_disk_space

CHUNK_BYTES = 8 * 1024 * 1024  # larger chunks cost more when one is lost
MAX_UNFINISHED_UPLOADS = 3  # of one person
COPY_BYTES = 256 * 1024


class Readable(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes: ...


class WrongOffset(PlainError):
    """The chunk does not follow what has arrived."""


def start_upload(*, dataset: Dataset, by: User, name: str, size: int) -> Upload:
    """The interrupted upload of this file, else a new one. `size` in bytes.

    Raises PlainError when the file is too large, or there are too many unfinished uploads.
    """
    delete_abandoned()
    name = clean_name(name)
    own = Upload.objects.filter(by=by)
    found = own.filter(dataset=dataset, file_name=name, size=size).order_by("-at").first()
    if found:
        _correct_received(found)
        return found
    if size < 1:
        raise PlainError(_("The file is empty. Choose the one that holds your examples."))
    if size > settings.MAX_LARGE_UPLOAD_BYTES:
        limit = settings.MAX_LARGE_UPLOAD_BYTES // 1024**3
        raise PlainError(
            _(
                "The file is larger than %(most)s GB, the largest we accept. "
                "Split it into smaller files."
            )
            % {"most": limit},
            status=413,
        )
    if own.count() >= MAX_UNFINISHED_UPLOADS:
        raise PlainError(
            _("You have %(n)s unfinished uploads already. Finish one, or delete it below.")
            % {"n": MAX_UNFINISHED_UPLOADS},
            status=409,
        )
    expected = Upload.objects.aggregate(n=Sum(F("size") - F("received")))["n"] or 0
    storage.require_space(dataset.goal.team, size)
    require_disk_space(size, expected)
    return Upload.objects.create(dataset=dataset, by=by, file_name=name, size=size)


def append_chunk(*, upload: Upload, offset: int, length: int, source: Readable) -> int:
    """Write `length` bytes of `source` at `offset`. Returns how many bytes have arrived.

    A chunk that breaks off is not counted, and is sent again. Raises WrongOffset where the chunk
    does not follow what has arrived, PlainError when its length is wrong or the disk is full.
    """
    path = upload_path(upload)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two tabs may send the same file
        upload.refresh_from_db()
        _correct_received(upload)
        if offset != upload.received:
            raise WrongOffset(
                _("This part of the file does not follow what has arrived."), status=409
            )
        if not 0 < length <= CHUNK_BYTES or offset + length > upload.size:
            raise PlainError(_("This part of the file is not as large as announced."), status=400)
        file.seek(offset)
        _copy(source, file, length)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
        Upload.objects.filter(pk=upload.pk).update(received=offset + length, at=timezone.now())
    return offset + length


def _copy(source: Readable, file: BinaryIO, length: int) -> None:
    left = length
    try:
        while left and (block := source.read(min(COPY_BYTES, left))):
            file.write(block)
            left -= len(block)
    except OSError as error:
        raise PlainError(
            _("The disk is full. Free some space, then continue."), status=507
        ) from error
    if left:
        raise PlainError(
            _("This part of the file did not arrive completely. It is sent again."), status=400
        )


def finish_upload(*, upload: Upload) -> Import:
    """Turn a complete upload into an import. Raises PlainError when it is not complete."""
    path = upload_path(upload)
    with transaction.atomic():
        locked = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if locked is None or locked.by is None:
            raise PlainError(_("This upload is finished already."), status=409)
        on_disk = path.stat().st_size if path.exists() else 0
        if locked.received != locked.size or on_disk != locked.size:
            raise PlainError(
                _("The file has not arrived completely yet. Continue the upload."), status=409
            )
        stored = stored_name_of(locked)
        if not is_local():
            with path.open("rb") as file:
                stored = default_storage.save(stored, File(file))
        item = create_import(
            dataset=locked.dataset,
            by=locked.by,
            name=locked.file_name,
            stored=stored,
            size=locked.size,
        )
        locked.delete()
    return item


def stored_name_of(upload: Upload) -> str:
    return f"uploads/{uuid.UUID(str(upload.pk)).hex}/upload"


def upload_path(upload: Upload) -> Path:
    return Path(settings.DATA_DIR) / stored_name_of(upload)


def _correct_received(upload: Upload) -> None:
    """If less is on the disk than was counted (a crash, a restored backup), resume from there."""
    path = upload_path(upload)
    on_disk = path.stat().st_size if path.exists() else 0
    if on_disk < upload.received:
        upload.received = on_disk
        Upload.objects.filter(pk=upload.pk).update(received=on_disk)
