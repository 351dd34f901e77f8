"""Backs up an installation into one file, and restores it.

A backup contains the database, the secrets, the frozen versions, the uploads (those of the API
too), the documents and the adapters. It leaves out what can be downloaded or computed again: base
models, exported models, training checkpoints and document indexes. See docs/backup.md.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection, connections

from finetune_app.core.files import local_folder, publish_folder
from finetune_app.goals.models import Goal
from finetune_app.jobs.preflight import NotReady, lock_installation
from finetune_app.knowledge import services as knowledge

FOLDERS = ("versions", "uploads", "api-files", "runs", "evaluations", "knowledge")
EXCLUDED_FOLDERS = re.compile(r"checkpoints|index-\d+")
DATABASE = "database.sqlite3"
DUMP = "database.dump"
RESTORE_OPTIONS = ("--clean", "--if-exists", "--no-owner", "--single-transaction")


class BackupError(Exception):
    """The message says what happened and what to do."""


def backup(target: Path) -> Path:
    """Write a backup to `target` (a .tar.gz), which exists only once it is complete."""
    data = Path(settings.DATA_DIR)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".part")
    with (
        _private_file(draft),
        tempfile.TemporaryDirectory(
            prefix=".finetune-backup-",
            dir=target.parent,  # /tmp may be small
        ) as scratch,
    ):
        saved = save_database(Path(scratch))
        with tarfile.open(draft, "w:gz", compresslevel=3) as archive:
            archive.add(saved, saved.name)
            archive.add(data / "secrets.json", "secrets.json")
            for name in FOLDERS:
                for path in sorted(local_folder(name).rglob("*")):
                    _add(archive, path, path.relative_to(data))
    draft.replace(target)
    return target


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


def _add(archive: tarfile.TarFile, path: Path, name: Path) -> None:
    if path.is_file() and not any(EXCLUDED_FOLDERS.fullmatch(part) for part in name.parts):
        with suppress(FileNotFoundError):  # a running job has removed it
            archive.add(path, name, recursive=False)


def save_database(folder: Path) -> Path:
    """A consistent copy while the app runs."""
    if settings.ON_SQLITE:
        target = folder / DATABASE
        name = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(name)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return target
    target = folder / DUMP
    database = str(connection.settings_dict["NAME"])
    _postgres("pg_dump", ["--format=custom", "--no-owner", "--file", str(target), database])
    return target


def restore(source: Path, *, force: bool = False) -> None:
    """Restore a backup into DATA_DIR and the database.

    Raises BackupError while Finetune is running, for a file that is not a backup, and without
    `force` if there are goals already.
    """
    data = Path(settings.DATA_DIR)
    if not tarfile.is_tarfile(source):
        raise BackupError(f"{source} is not a backup made by `manage.py backup`.")
    with tarfile.open(source) as archive:
        names = archive.getnames()
        if "secrets.json" not in names or not {DATABASE, DUMP} & set(names):
            raise BackupError(f"{source} is not a backup made by `manage.py backup`.")
        if (DATABASE in names) != settings.ON_SQLITE:
            raise BackupError("That backup is of another kind of database (see DATABASE_URL).")
        if has_goals() and not force:
            raise BackupError(
                f"There are goals in {data} already. Add --force to put the backup in their place."
            )
        scratch = tempfile.TemporaryDirectory(prefix="finetune-restore-", dir=data)
        with _not_running(), scratch as folder:
            archive.extractall(folder, filter="data")
            _replace_data(Path(folder), data)
            knowledge.rebuild_missing_indexes()


@contextmanager
def _not_running() -> Iterator[None]:
    """Hold the lock that `make run` needs. Raises BackupError while Finetune is running."""
    try:
        lock = lock_installation(settings.RUN_DIR)
    except NotReady as error:
        raise BackupError("Finetune is running here. Stop it first, then restore.") from error
    try:
        yield
    finally:
        os.close(lock)


def _replace_data(found: Path, data: Path) -> None:
    connections.close_all()
    if settings.ON_SQLITE:
        place = Path(connection.settings_dict["NAME"])
        for suffix in ("-wal", "-shm"):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        shutil.move(found / DATABASE, place)
    else:
        name = str(connection.settings_dict["NAME"])
        _postgres("pg_restore", [*RESTORE_OPTIONS, "--dbname", name, str(found / DUMP)])
    for name in FOLDERS:
        shutil.rmtree(data / name, ignore_errors=True)
        if (found / name).exists():
            shutil.move(found / name, data / name)
            publish_folder(name)
    shutil.move(found / "secrets.json", data / "secrets.json")


def has_goals() -> bool:
    try:
        return Goal.objects.exists()
    except DatabaseError:  # no tables yet: an empty installation
        return False


def _postgres(tool: str, arguments: list[str]) -> None:
    """Run a PostgreSQL client. The password is in the environment, where `ps` does not show it."""
    if shutil.which(tool) is None:
        raise BackupError(f"{tool} is needed for a PostgreSQL backup. Install PostgreSQL's client.")
    found = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
    login = {name: str(found[key]) for name, key in names.items() if found.get(key)}
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, env=os.environ | login
    )
    if done.returncode:
        raise BackupError(f"{tool} failed: {done.stderr.strip()[-400:]}")
