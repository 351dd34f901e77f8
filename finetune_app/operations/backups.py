"""Keep a copy of an installation in one file, and bring it back.

A backup holds the database, the secrets, the frozen versions, the uploads (those of the API too),
the documents and the adapters. Left out are base models (they can be fetched again), exported
models (they are made again from their adapter), checkpoints of runs, and the indexes of documents,
which are made again after a restore. docs/backup.md says so to whoever runs an installation.
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
from finetune_app.jobs.preflight import NotReady, only_one
from finetune_app.knowledge import services as knowledge

FOLDERS = ("versions", "uploads", "api-files", "runs", "evaluations", "knowledge")
LEFT_OUT = re.compile(r"checkpoints|index-\d+")  # folders
DATABASE = "database.sqlite3"
DUMP = "database.dump"
CLEAN = ("--clean", "--if-exists", "--no-owner", "--single-transaction")


class BackupError(Exception):
    """A sentence that says what happened and what to do."""


def backup(target: Path) -> Path:
    """Write a backup to `target` (a .tar.gz); it appears only when it is whole."""
    data = Path(settings.DATA_DIR)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".part")
    with (
        _owner_only(draft),
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
def _owner_only(draft: Path) -> Iterator[None]:
    """A backup holds the secrets, so nobody else may read it; and none is left half written."""
    draft.unlink(missing_ok=True)
    os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield
    except BaseException:
        draft.unlink(missing_ok=True)
        raise


def _add(archive: tarfile.TarFile, path: Path, name: Path) -> None:
    """A file that a running job removed meanwhile is not missed."""
    if path.is_file() and not any(LEFT_OUT.fullmatch(part) for part in name.parts):
        with suppress(FileNotFoundError):
            archive.add(path, name, recursive=False)


def save_database(folder: Path) -> Path:
    """A consistent copy while the app runs."""
    if settings.ON_SQLITE:
        target = folder / DATABASE
        here = connection.settings_dict["NAME"]
        with closing(sqlite3.connect(here)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
        return target
    target = folder / DUMP
    name = str(connection.settings_dict["NAME"])
    _postgres("pg_dump", ["--format=custom", "--no-owner", "--file", str(target), name])
    return target


def restore(source: Path, *, force: bool = False) -> None:
    """Bring a backup back into DATA_DIR and the database.

    Raise BackupError when Finetune runs here, when the file is not a backup, or when there is
    something here already and `force` is not set.
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
        with _nobody_else(), scratch as folder:
            archive.extractall(folder, filter="data")
            _put_back(Path(folder), data)
            knowledge.rebuild_missing_indexes()


@contextmanager
def _nobody_else() -> Iterator[None]:
    """Finetune does not run here, and cannot be started meanwhile."""
    try:
        lock = only_one(settings.RUN_DIR)
    except NotReady as error:
        raise BackupError("Finetune is running here. Stop it first, then restore.") from error
    try:
        yield
    finally:
        os.close(lock)


def _put_back(found: Path, data: Path) -> None:
    connections.close_all()
    if settings.ON_SQLITE:
        place = Path(connection.settings_dict["NAME"])
        for suffix in ("-wal", "-shm"):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        shutil.move(found / DATABASE, place)
    else:
        name = str(connection.settings_dict["NAME"])
        _postgres("pg_restore", [*CLEAN, "--dbname", name, str(found / DUMP)])
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
    """Run a client of PostgreSQL; the password goes by the environment, where `ps` shows none."""
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
