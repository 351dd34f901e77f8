"""Copies of what a job has done so far in the shared store, from which another machine goes on.

Where the store is this disk there is nothing to copy. Otherwise a thread of the supervisor looks
every few seconds at the files that the kind names (`JobKind.progress`) and uploads those that
changed. A file may be uploaded while its neighbour is not there yet: who reads them compares
hashes (worker/training/checkpoints.py) or reads a single file. Beside them lies the name of the
disk that they come from: there, and only there, the disk is newer than the store.
"""

import logging
import threading
import time
from contextlib import ExitStack, suppress
from contextvars import copy_context
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import connection

from finetune_app.core import files
from finetune_app.jobs.models import Job

log = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
ORIGIN = "progress-from"  # a file that names the disk
LAST_TRIES = 3

Stamps = dict[str, tuple[int, int]]
"""Size and time of change of each file, by its name below DATA_DIR."""


def fetch_progress(folder: Path, names: tuple[str, ...]) -> None:
    """Bring what the job had done from the store to `folder`, where it ran last on another disk.

    On the disk where it ran last only what is missing is fetched: a copy may have been removed.
    Without anything in the store what lies here is all there is.
    """
    if files.is_local():
        return
    origin = files.name_of(folder / ORIGIN)
    if not default_storage.exists(origin):
        return
    with default_storage.open(origin) as file:
        is_from_here = file.read().decode() == files.disk_id()
    for name in names:
        path = folder / name
        stored = _stored_below(files.name_of(path))
        if not is_from_here:
            files.delete_local(files.name_of(path))
        for one in stored:
            files.local_path(one)


class ProgressCopies:
    """Uploads in the background from `with` to its end, while `job` holds its lease."""

    def __init__(self, job: Job, folder: Path, names: tuple[str, ...]) -> None:
        self._job = job
        self._folder = folder
        self._paths = [] if files.is_local() else [folder / name for name in names]
        self._stored: Stamps = {}  # by this run: nothing else of the store is ever deleted
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=copy_context().run, args=(self._upload_until_the_end,), daemon=True
        )

    def __enter__(self) -> Self:
        if self._paths:
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Waits for the last upload: the job may go on elsewhere at once."""
        self._ended.set()
        if self._paths:
            self._thread.join()

    def _upload_until_the_end(self) -> None:
        try:
            while not self._ended.wait(LOOK_SECONDS):
                self._try_to_upload()
            for _try in range(LAST_TRIES):
                if self._try_to_upload():
                    return
                time.sleep(1.0)
        finally:
            connection.close()

    def _try_to_upload(self) -> bool:
        try:
            self._upload_changes()
        except Exception as error:  # the store is away
            log.warning("job %s: its progress was not copied: %s", self._job.pk, error)
            connection.close()
            return False
        return True

    def _upload_changes(self) -> None:
        """Make the store hold what this disk holds. Another worker's files are not touched.

        What changed is opened first, so that it can be read to its end when the child, which keeps
        the newest checkpoints only, has removed it meanwhile. It is uploaded in the order in which
        it was written: what says that a checkpoint is complete comes after the rest of it.
        """
        found = self._stamps()
        changed = [name for name, stamp in found.items() if self._stored.get(name) != stamp]
        changed.sort(key=lambda name: found[name][1])
        with ExitStack() as stack:
            opened = {name: file for name in changed if (file := self._open(stack, name))}
            for name, file in opened.items():
                if not self._holds_lease():
                    return
                if not self._stored:
                    self._store_origin()
                files.upload(name, file)
                self._stored[name] = found[name]
        for name in self._stored.keys() - found.keys():
            if not self._holds_lease():
                return
            default_storage.delete(name)
            del self._stored[name]

    def _holds_lease(self) -> bool:
        return Job.objects.held_by(self._job).exists()

    @staticmethod
    def _open(stack: ExitStack, name: str) -> BinaryIO | None:
        """None where it is gone already."""
        try:
            return stack.enter_context((Path(settings.DATA_DIR) / name).open("rb"))
        except FileNotFoundError:
            return None

    def _store_origin(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        (self._folder / ORIGIN).write_text(files.disk_id())
        files.upload(files.name_of(self._folder / ORIGIN))

    def _stamps(self) -> Stamps:
        """Of complete files: drafts begin with a dot, or lie in a folder that does."""
        found = {}
        for top in self._paths:
            for path in [top] if top.is_file() else sorted(top.rglob("*")):
                name = files.name_of(path)
                with suppress(FileNotFoundError):  # it is gone already
                    if path.is_file() and "/." not in name:
                        there = path.stat()
                        found[name] = (there.st_size, there.st_mtime_ns)
        return found


def _stored_below(name: str) -> list[str]:
    """The file of this name, or all in the folder of this name."""
    return files.names_below(name) or ([name] if default_storage.exists(name) else [])
