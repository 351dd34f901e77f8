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
    """The content of secrets.json. Older secrets are still accepted until they are forgotten."""

    secret_key: str
    secret_key_fallbacks: list[str]
    field_keys: list[str]  # Fernet keys, newest first
    engine_secret: str
    key_pepper: str
    key_pepper_fallbacks: list[str]


def load_secrets(data_dir: Path) -> Secrets:
    """Read the secrets, which are created on the first start.

    Environment variables of the same names in capitals take precedence, so that several machines
    can share them; those of lists have commas between their values.
    """
    return _with_environment(read_secrets(data_dir))


def read_secrets(data_dir: Path) -> Secrets:
    """Those of the file alone."""
    path = data_dir / "secrets.json"
    if not path.exists():
        _create(path)
    found: Secrets = json.loads(path.read_text())
    # An older installation has no pepper yet; derive it from the engine's secret.
    found.setdefault("key_pepper", _derived(found["engine_secret"], b"key pepper"))
    found.setdefault("secret_key_fallbacks", [])
    found.setdefault("key_pepper_fallbacks", [])
    return found


def write_secrets(data_dir: Path, content: Secrets) -> None:
    """Replace the file; readers see the old or the new one."""
    path = data_dir / "secrets.json"
    _private_draft(data_dir, json.dumps(content)).replace(path)


def is_set_by_environment(name: str) -> bool:
    return bool(os.environ.get(name.upper()))


def names_set_otherwise(found: Secrets) -> list[str]:
    """The environment variables that set another secret than `found` has."""
    changed = _with_environment(found)
    return [name.upper() for name, secret in changed.items() if secret != found.get(name)]


def fingerprint(secret: str) -> str:
    """Tells it from another one and gives nothing away."""
    return _derived(secret, b"fingerprint")


def _with_environment(found: Secrets) -> Secrets:
    changed = found.copy()
    for name in ("secret_key", "engine_secret", "key_pepper"):
        if is_set_by_environment(name):
            changed[name] = os.environ[name.upper()]
    for names in ("secret_key_fallbacks", "field_keys", "key_pepper_fallbacks"):
        if is_set_by_environment(names):
            changed[names] = os.environ[names.upper()].split(",")
    return changed


def new_token() -> str:
    return secrets.token_urlsafe(50)


def new_field_key() -> str:
    return Fernet.generate_key().decode()


def _create(path: Path) -> None:
    content: Secrets = {
        "secret_key": new_token(),
        "secret_key_fallbacks": [],
        "field_keys": [new_field_key()],
        "engine_secret": new_token(),
        "key_pepper": new_token(),
        "key_pepper_fallbacks": [],
    }
    draft = _private_draft(path.parent, json.dumps(content))
    try:
        os.link(draft, path)  # the first process wins; the others read what it wrote
    except FileExistsError:
        pass
    finally:
        draft.unlink()


def _private_draft(folder: Path, text: str) -> Path:
    handle, draft = tempfile.mkstemp(prefix=".secrets-", dir=folder)  # mode 0600
    with os.fdopen(handle, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    return Path(draft)


def _derived(secret: str, purpose: bytes) -> str:
    return hmac.new(secret.encode(), purpose, hashlib.sha256).hexdigest()
