"""Uploads in parts, as OpenAI's API has them: started, sent part by part, and completed.

Parts may arrive at once and in any order, at any of several web processes, so each is a file of its
own in the storage. Those of the pages (imports/chunked_upload.py) come one after the other, and
resume where they broke off.
"""

import hashlib
import tempfile
from collections.abc import Sequence
from datetime import timedelta
from typing import IO

from django.core.files.base import File
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models import Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts import storage
from finetune_app.accounts.models import Team
from finetune_app.core.errors import PlainError
from finetune_app.core.files import delete_folder
from finetune_app.fine_tuning_api.models import ApiFile, ApiUpload, ApiUploadPart, Purpose
from finetune_app.fine_tuning_api.services import MAX_TEAM_BYTES, require_room, save_file

EXPIRES_AFTER = timedelta(hours=1)
KEPT_AFTER_EXPIRY = timedelta(days=1)  # so that a late program is told what happened
MAX_PART_BYTES = 64 * 1024 * 1024
MAX_PARTS = 1000
COPY_BYTES = 1 << 20


def start_upload(
    *,
    team: Team,
    name: str,
    size: int,
    purpose: str = Purpose.FINE_TUNE,
    file_lifetime: timedelta | None = None,
) -> ApiUpload:
    """`size` in bytes; file_lifetime: of the file that it becomes, None for ever.

    Raises PlainError if the team has no room for it, beside its other files
    and pending uploads."""
    pending = ApiUpload.objects.filter(
        team=team, status=ApiUpload.Status.PENDING, expires_at__gt=timezone.now()
    )
    require_room(team, size, purpose)
    if size + (pending.aggregate(all=Sum("size"))["all"] or 0) > MAX_TEAM_BYTES:
        raise PlainError(
            _("Too much is being uploaded at once. Complete or cancel other uploads first."),
            status=413,
        )
    return ApiUpload.objects.create(
        team=team,
        name=name[:200],
        purpose=purpose,
        size=size,
        file_lifetime=file_lifetime,
        expires_at=timezone.now() + EXPIRES_AFTER,
    )


def add_part(*, upload: ApiUpload, data: "File[bytes]") -> ApiUploadPart:
    """Raises PlainError if the upload is not pending any more, or the part does not fit."""
    require_pending(upload)
    size = data.size or 0
    received = upload.parts.aggregate(all=Sum("size"))["all"] or 0
    if not 0 < size <= MAX_PART_BYTES:
        raise PlainError(
            _("A part has 1 byte to %(n)d MB.") % {"n": MAX_PART_BYTES // 1024**2}, status=400
        )
    if received + size > upload.size or upload.parts.count() >= MAX_PARTS:
        raise PlainError(
            _("The parts are larger than the %(n)d bytes that were announced, or too many.")
            % {"n": upload.size}
        )
    storage.require_space(upload.team, size)
    part = ApiUploadPart(upload=upload, size=size)
    part.storage_path = default_storage.save(f"{upload.folder}/{part.public_id.hex}", data)
    part.save()
    return part


def complete_upload(*, upload: ApiUpload, part_ids: Sequence[str], md5: str = "") -> ApiFile:
    """Joins the parts, in this order, to a file.

    md5: of the whole file, in hexadecimal digits; "" is not compared. Raises PlainError if parts
    are unknown, or do not make up what was announced.
    """
    require_pending(upload)
    parts = {part.api_id: part for part in upload.parts.all()}
    unknown = next((one for one in part_ids if one not in parts), None)
    if unknown is not None:
        raise PlainError(_("This upload has no part “%(id)s”.") % {"id": unknown[:80]})
    chosen = [parts[one] for one in part_ids]
    total = sum(part.size for part in chosen)
    if total != upload.size:
        raise PlainError(
            _("The parts have %(n)d bytes, but %(size)d were announced.")
            % {"n": total, "size": upload.size}
        )
    with tempfile.NamedTemporaryFile() as joined:
        found = _join(chosen, joined)
        if md5 and found != md5.lower():
            raise PlainError(_("The MD5 of the parts is %(md5)s.") % {"md5": found})
        saved = save_file(
            team=upload.team,
            name=upload.name,
            purpose=upload.purpose,
            file=File(joined),
            lifetime=upload.file_lifetime,
            counted=total,
        )
    if not _end(upload, ApiUpload.Status.COMPLETED, file=saved):
        saved.delete()
        raise _is_over(upload)
    return saved


def cancel_upload(*, upload: ApiUpload) -> None:
    """Raises PlainError if it is not pending any more."""
    require_pending(upload)
    if not _end(upload, ApiUpload.Status.CANCELLED):
        raise _is_over(upload)


def delete_expired() -> None:
    """The parts of uploads that have expired, and the uploads themselves a day later."""
    now = timezone.now()
    ApiUpload.objects.filter(expires_at__lt=now - KEPT_AFTER_EXPIRY).delete()
    for upload in ApiUpload.objects.filter(expires_at__lt=now, parts__isnull=False).distinct():
        _delete_parts(upload)


def require_pending(upload: ApiUpload) -> None:
    """Raises PlainError."""
    if upload.is_expired or upload.status != ApiUpload.Status.PENDING:
        raise _is_over(upload)


def _end(upload: ApiUpload, status: str, file: ApiFile | None = None) -> bool:
    """Whether it was still pending; its parts are deleted then."""
    pending = ApiUpload.objects.filter(pk=upload.pk, status=ApiUpload.Status.PENDING)
    with transaction.atomic():
        ended = pending.update(status=status, file=file)
        if ended:
            _delete_parts(upload)
    upload.refresh_from_db()
    return bool(ended)


def _delete_parts(upload: ApiUpload) -> None:
    with transaction.atomic():
        upload.parts.all().delete()
        transaction.on_commit(lambda: delete_folder(upload.folder))


def _join(parts: Sequence[ApiUploadPart], target: IO[bytes]) -> str:
    """Write the parts one after the other, and return the MD5 of all, as OpenAI's clients give
    it; it guards against nothing but a broken transfer."""
    digest = hashlib.md5(usedforsecurity=False)
    for part in parts:
        with default_storage.open(part.storage_path) as source:
            while block := source.read(COPY_BYTES):
                digest.update(block)
                target.write(block)
    target.flush()
    target.seek(0)
    return digest.hexdigest()


def _is_over(upload: ApiUpload) -> PlainError:
    state = "expired" if upload.is_expired else upload.status
    return PlainError(
        _("The upload %(id)s is %(state)s. Start another one.")
        % {"id": upload.api_id, "state": state}
    )
