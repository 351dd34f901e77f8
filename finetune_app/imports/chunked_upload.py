"""Uploads of large files in chunks, which may be resumed after a reload or a lost connection.

Each chunk is a file of its own in the store, so that any web process of any machine can take the
next one; `Upload.received` says how many bytes there are. A complete file becomes an import like
any other. Why this is not a library: docs/decisions/0026-chunked-upload-without-a-library.md. The
largest file is set in settings.py.
"""

import secrets
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

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
from finetune_app.core.files import delete_folder, is_local
from finetune_app.core.files import upload as upload_file
from finetune_app.datasets.models import Dataset, Import
from finetune_app.datasets.text import clean_name
from finetune_app.imports.models import Upload, UploadChunk
from finetune_app.imports.services import create_import, delete_abandoned, require_disk_space

CHUNK_BYTES = 8 * 1024 * 1024  # larger chunks cost more when one is lost
MAX_UNFINISHED_UPLOADS = 3  # of one person in a dataset, whose page lists them
COPY_BYTES = 256 * 1024


class Readable(Protocol):
    """A request's body."""

    def read(self, size: int, /) -> bytes: ...


class WrongOffset(PlainError):
    """The chunk does not follow what has arrived."""


def start_upload(
    *, dataset: Dataset, by: User, name: str, size: int, modified_at_ms: int = 0
) -> Upload:
    """The interrupted upload of this file, else a new one. `size` in bytes.

    A file that was changed meanwhile is another one, so that no upload mixes the two.

    Raises PlainError when the file is too large, or there are too many unfinished uploads.
    """
    delete_abandoned()
    name = clean_name(name)
    own = dataset.uploads.filter(by=by)
    file = {"file_name": name, "size": size, "modified_at_ms": modified_at_ms}
    found = own.filter(**file).order_by("-at").first()
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
    return Upload.objects.create(dataset=dataset, by=by, **file)


def append_chunk(*, upload: Upload, offset: int, length: int, source: Readable) -> int:
    """Store `length` bytes of `source`, which begin at `offset`. Returns how many have arrived.

    A chunk that breaks off is not counted, and is sent again. Raises WrongOffset where the chunk
    does not follow what has arrived, PlainError when its length is wrong or the disk is full.
    """
    if offset != upload.received:
        raise _wrong_offset()
    if not 0 < length <= CHUNK_BYTES or offset + length > upload.size:
        raise PlainError(_("This part of the file is not as large as announced."), status=400)
    try:
        with tempfile.TemporaryFile() as arrived:
            _copy(source, arrived, length)
            arrived.seek(0)
            name = f"{_chunk_folder(upload)}/{offset:012d}-{secrets.token_hex(4)}"
            stored = default_storage.save(name, File(arrived))
    except OSError as error:
        raise _disk_is_full() from error
    if not _count_chunk(upload, offset, length, stored):
        default_storage.delete(stored)
        raise _wrong_offset()
    return offset + length


def _count_chunk(upload: Upload, offset: int, length: int, stored: str) -> bool:
    """False if another request has stored this part meanwhile: two tabs may send the same file."""
    with transaction.atomic():
        followed = Upload.objects.filter(pk=upload.pk, received=offset).update(
            received=offset + length, at=timezone.now()
        )
        if followed:
            upload.chunks.create(offset=offset, size=length, stored_name=stored)
    return bool(followed)


def _wrong_offset() -> WrongOffset:
    return WrongOffset(_("This part of the file does not follow what has arrived."), status=409)


def _copy(source: Readable, target: IO[bytes], length: int) -> None:
    left = length
    while left and (block := source.read(min(COPY_BYTES, left))):
        target.write(block)
        left -= len(block)
    if left:
        raise PlainError(
            _("This part of the file did not arrive completely. It is sent again."), status=400
        )


def finish_upload(*, upload: Upload) -> Import:
    """Turn a complete upload into an import. Raises PlainError when it is not complete."""
    chunks = list(upload.chunks.all())
    if upload.received != upload.size or sum(one.size for one in chunks) != upload.size:
        raise _is_incomplete()
    stored = stored_name_of(upload)
    try:
        _join(chunks, stored, upload)
    except FileNotFoundError:  # another tab has finished it, or a chunk is lost
        if not Upload.objects.filter(pk=upload.pk).exists():
            raise _is_over() from None
        _correct_received(upload)
        raise _is_incomplete() from None
    except OSError as error:
        raise _disk_is_full() from error
    with transaction.atomic():
        locked = Upload.objects.select_for_update().filter(pk=upload.pk).first()
        if locked is None or locked.by is None:
            raise _is_over()
        item = create_import(
            dataset=locked.dataset,
            by=locked.by,
            name=locked.file_name,
            stored=stored,
            size=locked.size,
        )
        folder = _chunk_folder(locked)
        locked.delete()
        transaction.on_commit(lambda: delete_folder(folder))
    return item


def _is_incomplete() -> PlainError:
    return PlainError(
        _("The file has not arrived completely yet. Continue the upload."), status=409
    )


def _disk_is_full() -> PlainError:
    return PlainError(_("The disk is full. Free some space, then continue."), status=507)


def _is_over() -> PlainError:
    return PlainError(_("This upload is finished already."), status=409)


def _join(chunks: Sequence[UploadChunk], stored: str, upload: Upload) -> None:
    """Write the chunks one after the other to the file of this name, in the store too.

    Raises PlainError where they are not as large as was counted, as after a power cut.
    """
    path = Path(settings.DATA_DIR) / stored
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with draft.open("wb") as target:
            for chunk in chunks:
                with default_storage.open(chunk.stored_name) as source:
                    shutil.copyfileobj(source, target, COPY_BYTES)
        if draft.stat().st_size != upload.size:
            _correct_received(upload)
            raise _is_incomplete()
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    if not is_local():
        upload_file(stored)


def stored_name_of(upload: Upload) -> str:
    return f"uploads/{uuid.UUID(str(upload.pk)).hex}/upload"


def _chunk_folder(upload: Upload) -> str:
    return f"uploads/{uuid.UUID(str(upload.pk)).hex}/chunks"


def _correct_received(upload: Upload) -> None:
    """If chunks are lost that were counted, or are not whole (a restored backup, a power cut),
    resume at the first of them."""
    received = 0
    for chunk in upload.chunks.all():
        if chunk.offset != received or _size_of(chunk.stored_name) != chunk.size:
            break
        received += chunk.size
    if received < upload.received:
        with transaction.atomic():
            upload.chunks.filter(offset__gte=received).delete()
            Upload.objects.filter(pk=upload.pk).update(received=received)
        upload.received = received


def _size_of(name: str) -> int:
    try:
        return int(default_storage.size(name))
    except FileNotFoundError:
        return 0
