"""A large file that arrives in pieces, and goes on after a break, a reload or a lost connection.

The pieces are written into one file on this disk, at the place they name; `received` says how far
it is. When all is here the file becomes an import, as if it had come at once.
"""

import fcntl
import os
import uuid
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import F, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.core.errors import PlainError
from finetune_app.core.files import is_local
from finetune_app.datasets.models import Dataset, Import
from finetune_app.datasets.text import clean_name
from finetune_app.imports.models import Upload
from finetune_app.imports.services import create_import, delete_abandoned, require_disk_space

CHUNK_BYTES = 8 * 1024 * 1024  # bytes; a request may have more, but a lost one costs more then
MAX_UNFINISHED_UPLOADS = 3  # unfinished uploads of one person
COPY_BYTES = 256 * 1024


class WrongOffset(PlainError):
    """The piece does not follow what is here."""


def start_upload(*, dataset: Dataset, by: User, name: str, size: int) -> Upload:
    """The upload of this file: the one that was interrupted, else a new one."""
    delete_abandoned()
    name = clean_name(name)
    mine = Upload.objects.filter(by=by)
    found = mine.filter(dataset=dataset, file_name=name, size=size).order_by("-at").first()
    if found:
        _correct_received(found)
        return found
    if size < 1:
        raise PlainError(_("The file is empty. Choose the one that holds your examples."))
    if size > settings.MAX_LARGE_UPLOAD_BYTES:
        most = settings.MAX_LARGE_UPLOAD_BYTES // 1024**3
        raise PlainError(
            _("The file is larger than %(most)s GB, the most we take. Bring it in smaller parts.")
            % {"most": most},
            status=413,
        )
    if mine.count() >= MAX_UNFINISHED_UPLOADS:
        raise PlainError(
            _("You have %(n)s files on their way already. Finish one, or forget it below.")
            % {"n": MAX_UNFINISHED_UPLOADS},
            status=409,
        )
    expected = Upload.objects.aggregate(n=Sum(F("size") - F("received")))["n"] or 0
    require_disk_space(size, besides=expected)
    return Upload.objects.create(dataset=dataset, by=by, file_name=name, size=size)


def append_chunk(*, upload: Upload, offset: int, length: int, source: Any) -> int:
    """Write `length` bytes of `source` at `offset`; how far the file is now.

    Raises WrongOffset where the piece does not follow what is here (the answer says what does).
    A piece that breaks off is not counted and is written again.
    """
    path = upload_path(upload)
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # two tabs with the same file take turns
        upload.refresh_from_db()
        _correct_received(upload)
        if offset != upload.received:
            raise WrongOffset(_("This piece does not follow what is here."), status=409)
        if not 0 < length <= CHUNK_BYTES or offset + length > upload.size:
            raise PlainError(_("This piece is not as large as was said."), status=400)
        file.seek(offset)
        _copy(source, file, length)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
        Upload.objects.filter(pk=upload.pk).update(received=offset + length, at=timezone.now())
    return offset + length


def _copy(source: Any, file: Any, length: int) -> None:
    left = length
    try:
        while left and (block := source.read(min(COPY_BYTES, left))):
            file.write(block)
            left -= len(block)
    except OSError as error:
        raise PlainError(
            _("The disk is full. Free some room, then continue."), status=507
        ) from error
    if left:
        raise PlainError(_("This piece did not arrive whole. It is sent again."), status=400)


def finish_upload(*, upload: Upload) -> Import:
    """All is here: an import like any other, which a worker looks at."""
    path = upload_path(upload)
    with transaction.atomic():
        held = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if held is None or held.by is None:
            raise PlainError(_("This upload is finished already."), status=409)
        here = path.stat().st_size if path.exists() else 0
        if held.received != held.size or here != held.size:
            raise PlainError(_("The file is not here whole yet. Continue the upload."), status=409)
        stored = stored_name_of(held)
        if not is_local():
            with path.open("rb") as file:
                stored = default_storage.save(stored, File(file))
        item = create_import(
            dataset=held.dataset, by=held.by, name=held.file_name, stored=stored, size=held.size
        )
        held.delete()
    return item


def stored_name_of(upload: Upload) -> str:
    return f"uploads/{uuid.UUID(str(upload.pk)).hex}/upload"


def upload_path(upload: Upload) -> Path:
    return Path(settings.DATA_DIR) / stored_name_of(upload)


def _correct_received(upload: Upload) -> None:
    """Where the disk has less than was counted (a crash, a restored backup), go on from there."""
    path = upload_path(upload)
    here = path.stat().st_size if path.exists() else 0
    if here < upload.received:
        upload.received = here
        Upload.objects.filter(pk=upload.pk).update(received=here)
