"""Copies on this disk of files that are kept in a shared store.

A copy may go at any time, because it can be fetched again: when there are more than
LOCAL_COPIES_GB, those go that were not used for longest; and when somebody deletes the original,
on whichever machine, the copies of all machines go within a minute. Copies come and go by whole
folders, such as "runs/7" or "models/qwen3-0.6b".
"""

import fcntl
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from contextvars import copy_context
from pathlib import Path

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

from finetune_app.core import files
from finetune_app.core.models import Deletion

log = logging.getLogger(__name__)

TIDY_SECONDS = 60.0
IN_USE_SECONDS = 3600.0  # a copy stays for so long after it was asked for, or longer while jobs run


def tidy_in_background() -> None:
    """Every minute for as long as this process lives, where files are kept in a shared store."""
    if not files.is_local():
        threading.Thread(target=copy_context().run, args=(_tidy_forever,), daemon=True).start()


def _tidy_forever() -> None:
    while True:
        time.sleep(TIDY_SECONDS)
        try:
            if not _was_tidied_lately():  # by another process of this host
                tidy()
        except Exception as error:  # the database or the store is away
            log.warning("local copies were not tidied: %s", error)
        finally:
            connection.close()


def _was_tidied_lately() -> bool:
    with suppress(FileNotFoundError):
        return time.time() - _note().stat().st_mtime < TIDY_SECONDS / 2
    return False


def _note() -> Path:
    """Up to which row the deletions were looked at here; written by each look."""
    return Path(settings.DATA_DIR) / "run" / "deleted-up-to"


def tidy() -> None:
    """Delete the copies of what was deleted, then what is too much."""
    delete_copies_of_deleted()
    make_room(settings.MAX_LOCAL_COPY_BYTES)


def delete_copies_of_deleted() -> None:
    """Delete the copies of what was deleted on any machine since this one looked last."""
    note = _note()
    newest = Deletion.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    seen = int(note.read_text()) if note.exists() else newest
    seen = min(seen, newest)  # after a restore the rows are older
    for deleted in (
        Deletion.objects.filter(pk__gt=seen).exclude(disk=files.disk_id()).order_by("pk")
    ):
        if not _was_written_since(Path(settings.DATA_DIR) / deleted.name, deleted.at.timestamp()):
            files.delete_local(deleted.name)
    note.parent.mkdir(parents=True, exist_ok=True)
    draft = note.with_name(f"{note.name}.{os.getpid()}")
    draft.write_text(str(newest))
    draft.replace(note)


def _was_written_since(path: Path, at: float) -> bool:
    """Whether it is another one of the same name, which came after the deletion."""
    there = path.rglob("*") if path.is_dir() else [path]
    return any(one.is_file() and one.stat().st_mtime > at for one in there)


def make_room(most_bytes: int) -> None:
    """Delete the copies that were not used for longest, until the others take `most_bytes`. What
    the store lacks is no copy, and does not count."""
    sizes = {folder: files.local_bytes(files.name_of(folder)) for folder in _folders_with_copies()}
    if sum(sizes.values()) <= most_bytes:
        return
    copies = sorted(filter(_is_stored, sizes), key=_used_at)
    too_much = sum(sizes[folder] for folder in copies) - most_bytes
    in_use_since = min([time.time(), *_starts_of_children()]) - IN_USE_SECONDS
    for folder in copies:
        if too_much <= 0 or _used_at(folder) > in_use_since:
            return
        files.delete_local(files.name_of(folder))
        too_much -= sizes[folder]


def _starts_of_children() -> Iterator[float]:
    """Of the jobs that run on this disk, since each uses what it asked for until its end."""
    for lock in (Path(settings.DATA_DIR) / "run").glob("job-*.lock"):
        with suppress(OSError), lock.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:  # worker/child.py holds it
                yield lock.stat().st_mtime


def _folders_with_copies() -> list[Path]:
    """Of this disk, the folders in those that the store has too."""
    root, (names, _files) = Path(settings.DATA_DIR), default_storage.listdir("")
    found = [path for name in names for path in (root / name).glob("*") if path.is_dir()]
    return [path for path in found if not path.name.startswith(".")]


def _used_at(folder: Path) -> float:
    with suppress(OSError):
        return folder.stat().st_mtime  # files.py touches it
    return 0.0


def _is_stored(folder: Path) -> bool:
    """Whether the store has all that is in the folder, so that nothing is lost with it."""
    stored = set(files.names_below(files.name_of(folder)))
    return all(files.name_of(path) in stored for path in folder.rglob("*") if path.is_file())
