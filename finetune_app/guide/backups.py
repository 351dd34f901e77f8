"""Keep a copy of an installation in one file, and bring it back.

A backup holds the database, the secrets, the frozen versions, the uploads and the adapters.
Base models are left out (they can be fetched again), and so are checkpoints of runs.
"""

import os
import shutil
import sqlite3
import subprocess
import tarfile
import tempfile
from pathlib import Path

from django.conf import settings
from django.db import connections

FOLDERS = ("versions", "uploads", "imports", "runs")
LEFT_OUT = ("checkpoints",)
DATABASE = "database.sqlite3"
DUMP = "database.dump"


class BackupError(Exception):
    """A sentence that says what happened and what to do."""


def backup(target: Path) -> Path:
    """Write a backup to `target` (a .tar.gz); it appears only when it is whole."""
    data = Path(settings.DATA_DIR)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(target.name + ".part")
    with tempfile.TemporaryDirectory(prefix="finetune-backup-") as scratch:
        saved = save_database(Path(scratch))
        with tarfile.open(draft, "w:gz", compresslevel=3) as archive:
            archive.add(saved, saved.name)
            archive.add(data / "secrets.json", "secrets.json")
            for name in FOLDERS:
                if (data / name).exists():
                    archive.add(data / name, name, filter=_without_checkpoints)
    os.chmod(draft, 0o600)  # it holds the secrets
    draft.replace(target)
    return target


def _without_checkpoints(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if any(part in LEFT_OUT for part in Path(member.name).parts) else member


def save_database(folder: Path) -> Path:
    """A consistent copy while the app runs."""
    if settings.ON_SQLITE:
        target = folder / DATABASE
        source = sqlite3.connect(settings.DATABASES["default"]["NAME"])
        with source, sqlite3.connect(target) as copy:
            source.backup(copy)
        source.close()
        return target
    return _postgres("pg_dump", folder / DUMP, ["--format=custom", "--file"])


def restore(source: Path, *, force: bool = False) -> None:
    """Bring a backup back into DATA_DIR and the database. Finetune must not be running.

    Raise BackupError when the file is not a backup, or when there is something here already
    and `force` is not set.
    """
    data = Path(settings.DATA_DIR)
    if not tarfile.is_tarfile(source):
        raise BackupError(f"{source} is not a backup made by `manage.py backup`.")
    with tarfile.open(source) as archive:
        names = archive.getnames()
        if "secrets.json" not in names or not {DATABASE, DUMP} & set(names):
            raise BackupError(f"{source} is not a backup made by `manage.py backup`.")
        if DATABASE in names and not settings.ON_SQLITE or DUMP in names and settings.ON_SQLITE:
            raise BackupError("That backup is of another kind of database (see DATABASE_URL).")
        if has_goals() and not force:
            raise BackupError(
                f"There are goals in {data} already. Add --force to put the backup in their place."
            )
        with tempfile.TemporaryDirectory(prefix="finetune-restore-", dir=data) as scratch:
            archive.extractall(scratch, filter="data")
            _put_back(Path(scratch), data)


def _put_back(found: Path, data: Path) -> None:
    connections.close_all()
    if settings.ON_SQLITE:
        place = Path(settings.DATABASES["default"]["NAME"])
        for suffix in ("-wal", "-shm"):
            place.with_name(place.name + suffix).unlink(missing_ok=True)
        shutil.move(found / DATABASE, place)
    else:
        _postgres("pg_restore", found / DUMP, ["--clean", "--if-exists", "--no-owner", "--dbname"])
    for name in FOLDERS:
        if (found / name).exists():
            shutil.rmtree(data / name, ignore_errors=True)
            shutil.move(found / name, data / name)
    shutil.move(found / "secrets.json", data / "secrets.json")


def has_goals() -> bool:
    from finetune_app.goals.models import Goal

    try:
        return Goal.objects.exists()
    except Exception:  # no tables yet: an empty installation
        return False


def _postgres(tool: str, file: Path, options: list[str]) -> Path:
    if shutil.which(tool) is None:
        raise BackupError(f"{tool} is needed for a PostgreSQL backup. Install PostgreSQL's client.")
    url = os.environ["DATABASE_URL"]
    if tool == "pg_dump":
        command = [tool, *options, str(file), url]
    else:
        command = [tool, *options, url, str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise BackupError(f"{tool} failed: {done.stderr.strip()[-400:]}")
    return file
