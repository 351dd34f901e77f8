"""Removes what a deletion leaves behind: journals of jobs, and bytes in the database's own file.

SQLite overwrites a deleted row with zeros (PRAGMA secure_delete), but keeps it in its journal
until that is emptied, and now and then in a page that it rearranged; VACUUM writes the file anew.
PostgreSQL does its own housekeeping (docs/retention.md).
"""

import logging
import shutil
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.db.models import Model

from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction
from finetune_app.datasets.models import Dataset, Edit, Import
from finetune_app.jobs.models import ACTIVE, Job
from finetune_app.knowledge.models import Knowledge

log = logging.getLogger(__name__)

DELETIONS = (
    AuditAction.ACCOUNT_DELETED,
    AuditAction.TEAM_DELETED,
    AuditAction.ENDPOINT_DELETED,
    AuditAction.PLATFORM_DELETED,
    AuditAction.GOAL_DELETED,
    AuditAction.TRASH_EMPTIED,
    AuditAction.FILE_DELETED,
    AuditAction.DOCUMENT_DELETED,
    AuditAction.TRAINING_DELETED,
    AuditAction.EVALUATION_DELETED,
    AuditAction.JUDGEMENT_DELETED,
    AuditAction.PROMPT_SHEET_DELETED,
    AuditAction.MODEL_EXPORT_DELETED,
    AuditAction.MODEL_PUSH_FORGOTTEN,
    AuditAction.TEXT_DELETED,
    AuditAction.TEXTS_DELETED,
)
DOOMED = ".*.deleted"
MAX_VACUUM_BYTES = 256 * 1024**2  # a database file that is written anew in about two seconds
CHECKPOINT_WAIT_MS = 500

# Jobs whose row of another room does not go with them: (kind, what their spec names, its model
# and field, the model's reference to its newest job).
OWNERS: tuple[tuple[str, str, type[Model], str, str], ...] = (
    ("import", "stored_name", Import, "stored_name", "job"),
    ("check", "dataset", Dataset, "pk", "check_job"),
    ("change", "edit", Edit, "pk", "job"),
    ("index", "knowledge", Knowledge, "pk", "job"),
)


def erase_after_deletions() -> None:
    """The periodic task: erase traces once after somebody has deleted something."""
    finish_deletions()
    newest = AuditEntry.objects.filter(action__in=DELETIONS, status__lt=400).order_by("-pk")
    last = str(newest.values_list("pk", flat=True).first() or 0)
    note = Path(settings.DATA_DIR) / "run" / "erased-up-to"
    if last == "0" or (note.exists() and note.read_text() == last):
        return
    if erase_traces():
        note.parent.mkdir(exist_ok=True)
        note.write_text(last)


def erase_traces(*, of_any_size: bool = False) -> bool:
    """False if the database was in use, so that it has to be tried again."""
    delete_orphan_jobs()
    delete_files_of_deleted_jobs()
    if connection.vendor != "sqlite":
        return True
    if of_any_size or _database_bytes() <= MAX_VACUUM_BYTES:
        with connection.cursor() as cursor:
            cursor.execute("VACUUM")
    return _empty_the_journal()


def finish_deletions() -> None:
    """Delete the folders whose deletion was cut off (files.delete_local renames them before)."""
    root = Path(settings.DATA_DIR)
    for path in [*root.glob(f"*/{DOOMED}"), *root.glob(f"*/*/{DOOMED}")]:
        shutil.rmtree(path, ignore_errors=True)


def delete_orphan_jobs() -> int:
    """Delete jobs of what is gone: their titles and specs hold names and texts of it."""
    orphans: list[int] = []
    for kind, named, model, field, reference in OWNERS:
        ended = Job.objects.filter(kind=kind).exclude(state__in=ACTIVE)
        owner_of = dict(ended.values_list("pk", f"spec__{named}"))
        rows = model._default_manager
        there = set(rows.filter(**{f"{field}__in": _known(owner_of)}).values_list(field, flat=True))
        referred = set(rows.exclude(**{reference: None}).values_list(f"{reference}_id", flat=True))
        orphans += [
            pk for pk, owner in owner_of.items() if owner not in there and pk not in referred
        ]
    Job.objects.filter(pk__in=orphans).delete()
    return len(orphans)


def _known(owner_of: dict[int, object]) -> set[object]:
    return {owner for owner in owner_of.values() if owner is not None}


def delete_files_of_deleted_jobs() -> None:
    """What the children of a job printed, once its row is gone."""
    root = Path(settings.DATA_DIR)
    files: dict[int, list[Path]] = {}
    for path in [*root.glob("logs/job-*.log"), *root.glob("run/job-*.lock")]:
        number = path.stem.removeprefix("job-")
        if number.isdecimal():
            files.setdefault(int(number), []).append(path)
    for pk in files.keys() - set(Job.objects.values_list("pk", flat=True)):
        for path in files[pk]:
            path.unlink(missing_ok=True)


def _database_bytes() -> int:
    return Path(connection.settings_dict["NAME"]).stat().st_size


def _empty_the_journal() -> bool:
    """Move SQLite's journal into the database and cut it to nothing, unless somebody reads."""
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA busy_timeout")
        (patience,) = cursor.fetchone()
        cursor.execute(f"PRAGMA busy_timeout = {CHECKPOINT_WAIT_MS}")
        try:
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            busy, _frames, _moved = cursor.fetchone()
        finally:
            cursor.execute(f"PRAGMA busy_timeout = {int(patience)}")
    return not busy
