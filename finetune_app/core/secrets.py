"""Secrets of one installation: made once, kept in DATA_DIR, never in the database."""

import json
import os
import secrets
import tempfile
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet


def load_secrets(data_dir: Path) -> dict[str, Any]:
    """Return {secret_key, field_keys, engine_secret}; make them on the first start.

    SECRET_KEY and FIELD_KEYS (comma separated Fernet keys, newest first) from the
    environment win, so that several machines can share them.
    """
    path = data_dir / "secrets.json"
    if not path.exists():
        _write_once(path)
    found = json.loads(path.read_text())
    if os.environ.get("SECRET_KEY"):
        found["secret_key"] = os.environ["SECRET_KEY"]
    if os.environ.get("FIELD_KEYS"):
        found["field_keys"] = os.environ["FIELD_KEYS"].split(",")
    if os.environ.get("ENGINE_SECRET"):
        found["engine_secret"] = os.environ["ENGINE_SECRET"]
    return found


def _write_once(path: Path) -> None:
    made = {
        "secret_key": secrets.token_urlsafe(50),
        "field_keys": [Fernet.generate_key().decode()],
        "engine_secret": secrets.token_urlsafe(32),
    }
    handle, draft = tempfile.mkstemp(prefix=".secrets-", dir=path.parent)  # readable by us alone
    with os.fdopen(handle, "w") as file:
        json.dump(made, file)
    try:
        os.link(draft, path)  # the first process wins; the others read what it wrote
    except FileExistsError:
        pass
    finally:
        os.unlink(draft)
