"""A template SQLite database with all tables, created once for all test processes.

Migrations take seconds in each process, a copy takes none. It is cached beside the starter model,
under a name derived from the migrations.
"""

import fcntl
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import django
import pytest
from django.conf import settings
from django.db import connection

FOLDER = Path(settings.BASE_DIR) / ".cache" / "databases"


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Use the existing file; its folder is temporary."""
    return settings.ON_SQLITE


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Put a copy where pytest-django would create the database."""
    if not settings.ON_SQLITE:
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process creates it, the others wait
        template = FOLDER / f"{fingerprint()}.sqlite3"
        if not template.exists():
            create_template(template)
        shutil.copy(template, connection.creation._get_test_db_name())


@pytest.fixture(scope="session", autouse=True)
def flush_empties_the_audit_log() -> Iterator[None]:
    """Tests with real transactions empty every table; a trigger of SQLite keeps the audit log."""
    if not settings.ON_SQLITE:
        yield
        return
    append_only = importlib.import_module("finetune_app.audit.migrations.0002_append_only")
    operations = type(connection.ops)
    flush = operations.sql_flush

    def sql_flush(self: Any, *args: Any, **options: Any) -> list[str]:
        drop, create = "DROP TRIGGER IF EXISTS audit_no_delete", append_only.SQLITE[-1]
        return [drop, *flush(self, *args, **options), create]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "sql_flush", sql_flush)
        yield


def fingerprint() -> str:
    digest = hashlib.sha256(django.__version__.encode())
    for file in sorted(Path(settings.BASE_DIR).glob("finetune_app/*/migrations/*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def create_template(template: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        env = os.environ | {"DATA_DIR": folder, "DATABASE_URL": ""}
        command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(command, cwd=settings.BASE_DIR, env=env, check=True)
        for older in template.parent.glob("*.sqlite3"):
            older.unlink()
        shutil.move(f"{folder}/finetune.sqlite3", template)
