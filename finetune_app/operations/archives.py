"""The file of a backup: what it holds, and whether it is whole."""

import gzip
import json
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypedDict

from finetune_app.core.secrets import Secrets
from finetune_app.operations.errors import BackupError
from finetune_app.operations.passphrase import decrypt_secrets, given_passphrase

DATABASE = "database.sqlite3"
DUMP = "database.dump"
SECRETS = "secrets.json"
ENCRYPTED_SECRETS = "secrets.json.encrypted"  # with a passphrase (passphrase.py)
MANIFEST = "manifest.json"

READ_BYTES = 1_000_000
NOT_A_BACKUP = "{} is not a backup made by `manage.py backup`."
DAMAGED = (
    "{} is damaged: it cannot be read to its end. Nothing was changed. Copy it again from where "
    "you keep it, or take another backup."
)


class Manifest(TypedDict):
    """What a backup says of itself; backups before 0.1.0 have none."""

    made_at: str
    migrations: dict[str, list[str]]  # the applied ones, by app


@contextmanager
def open_archive(source: Path) -> Iterator[tarfile.TarFile]:
    """The archive of a backup, once all of it was read.

    Raises BackupError for any other file, and for one that is cut short or changed.
    """
    _require_whole(source)
    try:
        with tarfile.open(source, "r:gz") as archive:
            yield archive
    except tarfile.ReadError as error:
        raise BackupError(NOT_A_BACKUP.format(source)) from error


def _require_whole(source: Path) -> None:
    """Reads to the checksum at the end; tarfile takes a damaged header for the end instead."""
    with source.open("rb") as file:
        if file.read(2) != b"\x1f\x8b":
            raise BackupError(NOT_A_BACKUP.format(source))
    try:
        with gzip.open(source) as content:
            while content.read(READ_BYTES):
                pass
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise BackupError(DAMAGED.format(source)) from error


def read_secrets(archive: tarfile.TarFile) -> Secrets:
    """Asks for the passphrase of a backup that has one. Raises BackupError for another one."""
    name = SECRETS if SECRETS in archive.getnames() else ENCRYPTED_SECRETS
    member = archive.extractfile(name)
    assert member is not None, "a file, not a folder"
    if name == ENCRYPTED_SECRETS:
        return decrypt_secrets(member.read(), given_passphrase())
    found: Secrets = json.load(member)
    return found


def read_manifest(archive: tarfile.TarFile) -> Manifest | None:
    """None for a backup that has none."""
    if MANIFEST not in archive.getnames():
        return None
    content = archive.extractfile(MANIFEST)
    assert content is not None, "a file, not a folder"
    manifest: Manifest = json.load(content)
    return manifest
