"""Secrets of an installation: created once, stored in DATA_DIR, never in the database."""

import hashlib
import hmac
import json
import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import TypedDict

from cryptography.fernet import Fernet


def make_private(folder: Path) -> None:
    """Create the folder with mode 0700, since it contains the database and all files.

    An existing folder loses its permissions for others; those of its group stay. A folder shared
    by all users, such as /tmp, is not changed.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    shared = found.st_mode & stat.S_ISVTX or folder == folder.parent
    if found.st_uid == os.getuid() and found.st_mode & 0o007 and not shared:
        folder.chmod(stat.S_IMODE(found.st_mode) & ~0o007)


class Secrets(TypedDict):
    """The content of secrets.json."""

    secret_key: str
    field_keys: list[str]  # Fernet keys, newest first
    engine_secret: str
    key_pepper: str


def load_secrets(data_dir: Path) -> Secrets:
    """Read the secrets, which are created on the first start.

    SECRET_KEY, FIELD_KEYS (comma separated), ENGINE_SECRET and KEY_PEPPER from the environment
    take precedence, so that several machines can share them.
    """
    path = data_dir / "secrets.json"
    if not path.exists():
        _write_once(path)
    found: Secrets = json.loads(path.read_text())
    # An older installation has no pepper yet; derive it from the engine's secret.
    found.setdefault("key_pepper", _derived(found["engine_secret"]))
    return _with_environment(found)


def _with_environment(found: Secrets) -> Secrets:
    changed = found.copy()
    if os.environ.get("KEY_PEPPER"):
        changed["key_pepper"] = os.environ["KEY_PEPPER"]
    if os.environ.get("SECRET_KEY"):
        changed["secret_key"] = os.environ["SECRET_KEY"]
    if os.environ.get("FIELD_KEYS"):
        changed["field_keys"] = os.environ["FIELD_KEYS"].split(",")
    if os.environ.get("ENGINE_SECRET"):
        changed["engine_secret"] = os.environ["ENGINE_SECRET"]
    return changed


def names_set_otherwise(found: Secrets) -> list[str]:
    """The environment variables that set another secret than `found` has."""
    changed = _with_environment(found)
    return [name.upper() for name, secret in changed.items() if secret != found.get(name)]


def _write_once(path: Path) -> None:
    created: Secrets = {
        "secret_key": secrets.token_urlsafe(50),
        "field_keys": [Fernet.generate_key().decode()],
        "engine_secret": secrets.token_urlsafe(32),
        "key_pepper": secrets.token_urlsafe(32),
    }
    handle, draft = tempfile.mkstemp(prefix=".secrets-", dir=path.parent)  # mode 0600
    with os.fdopen(handle, "w") as file:
        json.dump(created, file)
    try:
        os.link(draft, path)  # the first process wins; the others read what it wrote
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)


def _derived(secret: str) -> str:
    return hmac.new(secret.encode(), b"key pepper", hashlib.sha256).hexdigest()
