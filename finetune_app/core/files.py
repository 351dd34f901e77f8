"""Files of the installation, on this disk or in an S3-compatible store.

Names are relative ("versions/3/2.jsonl"). Workers read local copies: the file itself with local
storage, else a copy that is fetched once into DATA_DIR.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import BinaryIO

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage

log = logging.getLogger(__name__)

LOOK_SECONDS = 60.0
STORE_SECONDS = 3.0  # a store that says nothing for so long is away

_looked_at: dict[Path, float] = {}  # when the store was asked for a folder


def is_local() -> bool:
    return isinstance(default_storage, FileSystemStorage)


def disk_id() -> str:
    """Names the disk of DATA_DIR, also after a restart in another container."""
    path = Path(settings.DATA_DIR) / "run" / "disk-id"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f".disk-id.{secrets.token_hex(4)}")
        draft.write_text(secrets.token_hex(16))
        with suppress(FileExistsError):
            os.link(draft, path)  # the first process wins
        draft.unlink()
    return path.read_text()


def name_of(path: Path) -> str:
    """The name of a file or folder in DATA_DIR."""
    return path.relative_to(settings.DATA_DIR).as_posix()


def local_path(name: str) -> Path:
    """Local path of `name`; fetched first from a remote store. There is no file at it where the
    store has none."""
    path = Path(settings.DATA_DIR) / name
    if not is_local():
        if not path.exists():
            with suppress(FileNotFoundError):
                download(name)
        _note_use(name)
    return path


def newest_path(name: str) -> Path:
    """Like local_path, for a file that is written again: a copy here may be an older one.

    Raises FileNotFoundError where it is not in the remote store.
    """
    if not is_local():
        download(name)
    return local_path(name)


def download(name: str) -> None:
    """Copy a file of the store to this disk, in place of what was there."""
    path = Path(settings.DATA_DIR) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    # A temporary file per process: two may fetch the same file at once.
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with default_storage.open(name) as source, draft.open("wb") as target:
            shutil.copyfileobj(source, target)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def upload(name: str, content: BinaryIO | None = None) -> None:
    """Copy a file of this disk to the store, in place of what was there. `content`: the same file,
    open already."""
    overwrites = getattr(default_storage, "file_overwrite", False)
    if not overwrites and default_storage.exists(name):
        default_storage.delete(name)  # this store would keep both, under another name
    with nullcontext(content) if content else (Path(settings.DATA_DIR) / name).open("rb") as file:
        default_storage.save(name, File(file))


def local_folder(prefix: str) -> Path:
    """Like local_path, for all files below `prefix`, whose content never changes.

    The store is asked once a minute at most: every answer of a model needs its folder. While it is
    away, the folder is used as it is here.
    """
    folder = Path(settings.DATA_DIR) / prefix
    if not is_local():
        if not _was_looked_at(folder):
            with _fetching_alone(prefix):
                if not _was_looked_at(folder):  # by the one that was waited for
                    for name in _stored_below(folder):
                        local_path(name)
                    _looked_at[folder] = time.monotonic()
        _note_use(prefix)
    return folder


def _stored_below(folder: Path) -> list[str]:
    """Names in the store; none while it is away, if the folder is here."""
    prefix = name_of(folder)
    if not folder.exists():
        return names_below(prefix)
    asked: Future[list[str]] = Future()

    def ask() -> None:  # in a thread, since a client of S3 may wait for minutes
        try:
            asked.set_result(names_below(prefix))
        except Exception as error:
            asked.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        return asked.result(STORE_SECONDS)
    except Exception as error:
        log.warning("the store is away (%s): %s is used as it is", type(error).__name__, prefix)
        return []


def _was_looked_at(folder: Path) -> bool:
    then = _looked_at.get(folder, float("-inf"))
    return folder.exists() and time.monotonic() < then + LOOK_SECONDS


@contextmanager
def _fetching_alone(prefix: str) -> Iterator[None]:
    """Of several threads and processes that need gigabytes at once, one fetches them."""
    number = int.from_bytes(hashlib.sha256(prefix.encode()).digest()[:1], "big")
    lock = Path(settings.DATA_DIR) / "run" / f"fetch-{number}.lock"
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def engine_folder(prefix: str) -> Path:
    """The folder as the engine is told of it, which fetches it by itself, on whichever host."""
    if not is_local():
        _note_use(prefix)
    return Path(settings.DATA_DIR) / prefix


def _note_use(name: str) -> None:
    """See local_copies.py: what was used lately stays."""
    with suppress(OSError):
        os.utime(Path(settings.DATA_DIR, *name.split("/")[:2]))


def local_bytes(prefix: str) -> int:
    """Of all files below `prefix` on this disk."""
    total = 0
    for path in (Path(settings.DATA_DIR) / prefix).rglob("*"):
        with suppress(OSError):  # it is gone already
            total += path.stat().st_size if path.is_file() else 0
    return total


def publish_folder(prefix: str) -> None:
    """Upload a folder that a worker has written locally, if the store is remote."""
    if is_local():
        return
    for path in sorted((Path(settings.DATA_DIR) / prefix).rglob("*")):
        if path.is_file():
            upload(name_of(path))


def names_below(prefix: str) -> list[str]:
    """All file names below `prefix`, depth first."""
    try:
        folders, files = default_storage.listdir(prefix)
    except FileNotFoundError:
        return []
    names = [f"{prefix}/{file}" for file in files]
    for folder in folders:
        names += names_below(f"{prefix}/{folder}")
    return names


def delete_folder(prefix: str) -> None:
    """Delete all files below `prefix`, in the store and on all machines, if there are any.

    Raises ValueError unless `prefix` is a folder inside a known one ("runs/7") in DATA_DIR.
    """
    parts = prefix.split("/")
    if len(parts) < 2 or not all(part.strip(". ") for part in parts) or "\\" in prefix:
        raise ValueError(f"refusing to delete {prefix!r}")
    if not is_local():
        for name in names_below(prefix):
            default_storage.delete(name)
    _delete_copies(prefix)


def delete_file(name: str) -> None:
    """Delete a file, in the store and on all machines, if it is there."""
    default_storage.delete(name)
    _delete_copies(name)


def _delete_copies(name: str) -> None:
    delete_local(name)
    if not is_local():
        from finetune_app.core.models import Deletion  # children of the workers have no apps

        Deletion.objects.create(name=name, disk=disk_id())  # for local_copies.py elsewhere


def delete_local(name: str) -> None:
    """Delete the file or folder of this name on this disk."""
    path = Path(settings.DATA_DIR) / name
    if path.is_file():
        path.unlink(missing_ok=True)
        return
    doomed = path.with_name(f".{path.name}.deleted")
    try:
        path.rename(doomed)  # so that a child that is still running cannot write into it
    except OSError:
        doomed = path
    shutil.rmtree(doomed, ignore_errors=True)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
