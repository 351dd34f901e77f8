"""Writes a mark into every text that a row or file can hold, and finds it again anywhere."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage
from django.db import connection, models

from finetune_app.basemodels.models import BaseModel, Speed
from finetune_app.core.files import names_below
from finetune_app.jobs.models import Job, WorkerMachine

# Not a team's, or not text: base models and machines of the installation, and what holds ids alone.
NOT_THEIRS = {BaseModel, Speed, WorkerMachine}
OURS = "finetune_app."
# Names and paths that code looks up, hashes, and words of a fixed choice.
FIXED = {
    "action",
    "adapter_sha256",
    "check_name",
    "child",
    "code_hash",
    "currency",
    "digest",
    "error_code",
    "file",
    "fingerprint",
    "folder",
    "format",
    "language",
    "kind",
    "link",
    "number_format",
    "password",
    "phase",
    "prefix",
    "previous_digest",
    "purpose",
    "reply_id",
    "secret",
    "secret_hash",
    "sha256",
    "slug",
    "stored_name",
    "stored_in",
    "unit",
    "worker",
    "zone",
}


def rows_of_ours(but: frozenset[str]) -> Iterator[models.Model]:
    """All rows, apart from those of the models `but` ("accounts.User")."""
    for model in apps.get_models():
        named = model.__module__.startswith(OURS) and model._meta.app_label != "audit"
        if named and model not in NOT_THEIRS and model._meta.label not in but:
            yield from model._default_manager.all()


def mark_rows(mark: str, *, but: frozenset[str] = frozenset()) -> int:
    """Add `mark` to every text of every row there is; returns to how many texts."""
    count = 0
    for row in list(rows_of_ours(but)):
        changes = dict(_marked(row, mark))
        if changes:
            type(row)._default_manager.filter(pk=row.pk).update(**changes)
        count += len(changes)
    return count


def _marked(row: models.Model, mark: str) -> Iterator[tuple[str, Any]]:
    for field in row._meta.concrete_fields:
        if field.choices or field.name in FIXED or field.is_relation:
            continue
        value = getattr(row, field.attname)
        if isinstance(field, models.EmailField):
            yield field.name, f"{mark}-{row.pk}@kettle.example"
        elif isinstance(field, models.CharField | models.TextField):
            room = (field.max_length or 10_000) - len(mark) - 1
            if room >= 0:
                yield field.name, f"{value[:room]} {mark}"
        elif isinstance(field, models.JSONField):
            if isinstance(value, dict):
                yield field.name, value | {"note": mark}
            elif isinstance(value, list):
                yield field.name, [*value, mark]


def mark_files(mark: str, *, but: frozenset[str] = frozenset()) -> int:
    """Put a file with `mark` into every folder that a row names; returns how many."""
    root = Path(settings.DATA_DIR)
    folders = {f"checks/{row.pk}" for row in apps.get_model("datasets.Dataset").objects.all()}
    files = set()
    for row in rows_of_ours(but):
        folder = getattr(row, "folder", "")
        if folder:
            folders.add(folder)
        for name in ("stored_name", "storage_path"):
            path = getattr(row, name, "")
            if path:
                files.add(path)
        if isinstance(row, Job):
            files |= {f"logs/job-{row.pk}.log", f"run/job-{row.pk}.lock"}
    files |= {f"{folder}/mark.txt" for folder in folders}
    for name in files:
        path = root / name
        if name.endswith("/"):  # an export whose file has no name yet
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(mark)
    return len(files)


def files_with(mark: str) -> list[str]:
    """Files below DATA_DIR that hold `mark`; the database of SQLite and its journal among them."""
    root, wanted = Path(settings.DATA_DIR), mark.encode()
    return sorted(
        path.relative_to(root).as_posix()
        for path in root.rglob("*")
        if path.is_file() and (wanted in path.read_bytes() or mark in path.name)
    )


def copy_to_store(mark: str) -> int:
    """Put the marked files of goals into the store as well; returns how many."""
    names = [name for name in files_with(mark) if not name.startswith(("logs/", "run/", "test."))]
    for name in names:
        default_storage.save(name, ContentFile(mark.encode()))
    return len(names)


def names_in_store() -> list[str]:
    folders, files = default_storage.listdir("")
    return files + [name for folder in folders for name in names_below(folder)]


def rows_with(mark: str) -> list[str]:
    """Columns of any table in the database that hold `mark`."""
    found = []
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT * FROM "{table}"')
            columns = [column[0] for column in cursor.description]
            held = {
                name
                for row in cursor.fetchall()
                for name, value in zip(columns, row, strict=True)
                if mark in str(value)
            }
            found += sorted(f"{table}.{name}" for name in held)
    return found
