"""Backs up an installation into one file; restores.py puts it back.

A backup contains the database, the secrets in force, the frozen versions, the uploads (those of the
API too), the documents and the adapters. It leaves out what can be downloaded or computed again:
base models, exported models, training checkpoints and document indexes. See docs/backup.md.
"""

import io
import json
import os
import re
import sqlite3
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from finetune_app.core import files
from finetune_app.core.shared_secrets import names_that_differ
from finetune_app.goals.models import Goal
from finetune_app.operations.archives import (
    DATABASE,
    DUMP,
    ENCRYPTED_SECRETS,
    MANIFEST,
    SECRETS,
    Manifest,
)
from finetune_app.operations.errors import BackupError
from finetune_app.operations.passphrase import encrypt_secrets
from finetune_app.operations.postgres import dump_postgres

FOLDERS = ("versions", "uploads", "api-files", "runs", "evaluations", "knowledge")
# Of jobs and downloads, by the number of a row; in no backup, since they are made again.
UNSAVED_FOLDERS = (
    *("checks", "drift", "exports", "hub", "judging", "preferences", "prompt_sheets", "pushes"),
    *("remote", "searches", "suggestions"),
)
EXCLUDED_FOLDERS = re.compile(r"checkpoints|index-\d+|\..*\.deleted")  # the last is erasure.DOOMED
NOTHING_HERE = (
    "There is nothing to save: {} has no tables of Finetune. Set DATA_DIR and DATABASE_URL as they "
    "are where Finetune runs."
)
OTHER_SECRETS = (
    "Nothing was saved: {} here and where Finetune runs differ, and after a restore no key or "
    "stored token would work. Run this with the environment that Finetune was started with."
)


def backup(target: Path, passphrase: str = "") -> Path:
    """Write a backup to `target` (a .tar.gz), which exists only once it is complete.

    With a passphrase the secrets in it, and so the stored keys of others, are read only with that.
    Raises BackupError for an empty database, for other secrets than Finetune started with, and for
    a passphrase that is easily guessed.
    """
    _require_installation()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".part")
    with (
        _private_file(draft),
        tempfile.TemporaryDirectory(
            prefix=".finetune-backup-",
            dir=target.parent,  # /tmp may be small
        ) as scratch,
    ):
        manifest: Manifest = {
            "made_at": timezone.now().isoformat(),
            "migrations": applied_migrations(),
        }
        saved = save_database(Path(scratch))
        with tarfile.open(draft, "w:gz", compresslevel=3) as archive:
            _add_json(archive, MANIFEST, manifest)
            archive.add(saved, saved.name)
            # Those in force; the file does not have the ones that the environment sets.
            if passphrase:
                _add_bytes(
                    archive, ENCRYPTED_SECRETS, encrypt_secrets(settings.SECRETS, passphrase)
                )
            else:
                _add_json(archive, SECRETS, settings.SECRETS)
            for folder in FOLDERS:
                for name in _names(folder):
                    _add(archive, name)
    draft.replace(target)
    return target


def _require_installation() -> None:
    if not applied_migrations():
        raise BackupError(NOTHING_HERE.format(connection.settings_dict["NAME"]))
    others = names_that_differ()
    if others:
        raise BackupError(OTHER_SECRETS.format(", ".join(others)))


@contextmanager
def _private_file(draft: Path) -> Iterator[None]:
    """Create the file for its owner only, since it contains secrets; delete it on errors."""
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def applied_migrations() -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for app, name in sorted(MigrationRecorder(connection).applied_migrations()):
        found.setdefault(app, []).append(name)
    return found


def _add_json(archive: tarfile.TarFile, name: str, content: object) -> None:
    _add_bytes(archive, name, json.dumps(content).encode())


def _add_bytes(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(content), 0o600
    archive.addfile(entry, io.BytesIO(content))


def _names(folder: str) -> list[str]:
    """The files of a folder that belong into a backup; with a remote store those in the store."""
    if files.is_local():
        root = Path(settings.DATA_DIR)
        found = (path for path in (root / folder).rglob("*") if path.is_file())
        names = [path.relative_to(root).as_posix() for path in found]
    else:
        names = files.names_below(folder)
    return sorted(
        name for name in names if not any(map(EXCLUDED_FOLDERS.fullmatch, name.split("/")))
    )


def _add(archive: tarfile.TarFile, name: str) -> None:
    with suppress(FileNotFoundError):  # a running job has removed it
        archive.add(files.local_path(name), name, recursive=False)


def save_database(folder: Path) -> Path:
    """A consistent copy while the app runs."""
    if settings.ON_SQLITE:
        target = folder / DATABASE
        name = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return target
    target = folder / DUMP
    dump_postgres(target)
    return target


def has_goals() -> bool:
    try:
        return Goal.objects.exists()
    except DatabaseError:  # no tables yet: an empty installation
        return False
