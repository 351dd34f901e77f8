"""Files of the installation, on this disk or in an S3-compatible store.

Names are relative ("versions/3/2.jsonl"). Workers read local copies: the file itself with local
storage, else a copy that is fetched once into DATA_DIR.
"""

import hashlib
import secrets
import shutil
from pathlib import Path

from django.conf import settings
from django.core.files import File
from django.core.files.storage import FileSystemStorage, default_storage


def is_local() -> bool:
    return isinstance(default_storage, FileSystemStorage)


def local_path(name: str) -> Path:
    """Local path of `name`; fetched first from a remote store."""
    path = Path(settings.DATA_DIR) / name
    if not is_local() and not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # A temporary file per process: two may fetch the same file at once.
        draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with default_storage.open(name) as source, draft.open("wb") as target:
                shutil.copyfileobj(source, target)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
    return path


def local_folder(prefix: str) -> Path:
    """Like local_path, for all files below `prefix`."""
    folder = Path(settings.DATA_DIR) / prefix
    if not is_local():
        for name in names_below(prefix):
            local_path(name)
    return folder


def publish_folder(prefix: str) -> None:
    """Upload a folder that a worker has written locally, if the store is remote."""
    if is_local():
        return
    root = Path(settings.DATA_DIR)
    for path in sorted((root / prefix).rglob("*")):
        if path.is_file():
            name = path.relative_to(root).as_posix()
            if default_storage.exists(name):
                default_storage.delete(name)  # some stores would keep both, under another name
            with path.open("rb") as file:
                default_storage.save(name, File(file))


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
    """Delete all files below `prefix`, in the store and locally, if there are any.

    Raises ValueError unless `prefix` is a folder inside a known one ("runs/7") in DATA_DIR.
    """
    parts = prefix.split("/")
    if len(parts) < 2 or not all(part.strip(". ") for part in parts) or "\\" in prefix:
        raise ValueError(f"refusing to delete {prefix!r}")
    if not is_local():
        for name in names_below(prefix):
            default_storage.delete(name)
    folder = Path(settings.DATA_DIR) / prefix
    doomed = folder.with_name(f".{folder.name}.deleted")
    try:
        folder.rename(doomed)  # so that a child that is still running cannot write into it
    except OSError:
        doomed = folder
    shutil.rmtree(doomed, ignore_errors=True)


def sha256_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()
