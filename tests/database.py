"""A template database with all tables, created once for all test processes.

Migrations take seconds in each process, a copy takes none. It is cached beside the starter model,
or on the PostgreSQL server, under a name derived from the migrations.
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
from urllib.parse import urlsplit

import django
import psycopg
import pytest
from django.conf import settings
from django.core.management.commands import flush
from django.db import connection

FOLDER = Path(settings.BASE_DIR) / ".cache" / "databases"


@pytest.fixture(scope="session")
def django_db_keepdb() -> bool:
    """Use the existing file; its folder is temporary."""
    return settings.ON_SQLITE


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """Put a copy where pytest-django would create the database."""
    if settings.ON_SQLITE:
        shutil.copy(template(), connection.creation._get_test_db_name())
    else:
        connection.settings_dict["TEST"]["TEMPLATE"] = template()


def template() -> str:
    """A database with all tables and no rows, to be copied: a file of SQLite, or the name of a
    database on the PostgreSQL server."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the first process creates it, the others wait
        return str(sqlite_template() if settings.ON_SQLITE else postgresql_template())


@pytest.fixture(scope="session", autouse=True)
def quick_flush() -> Iterator[None]:
    """Empties every table after a test with real transactions, the append-only audit log too.

    Django would also make rows for the permissions of every table, which nobody asks for; and on
    PostgreSQL it would truncate a hundred tables, most of them empty, which takes seconds.
    """
    append_only = importlib.import_module("finetune_app.audit.migrations.0002_append_only")
    operations = type(connection.ops)
    sql_of_flush = operations.sql_flush

    def sqlite(self: Any, *args: Any, **options: Any) -> list[str]:
        drop, create = "DROP TRIGGER IF EXISTS audit_no_delete", append_only.SQLITE[-1]
        return [drop, *sql_of_flush(self, *args, **options), create]

    def postgresql(self: Any, _style: Any, tables: list[str], **_options: Any) -> list[str]:
        return [
            "ALTER TABLE audit_auditentry DISABLE TRIGGER audit_no_delete",
            *(f"DELETE FROM {self.quote_name(table)}" for table in tables),
            "SET CONSTRAINTS ALL IMMEDIATE",  # else the table could not be altered again
            "ALTER TABLE audit_auditentry ENABLE TRIGGER audit_no_delete",
        ]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(operations, "sql_flush", sqlite if settings.ON_SQLITE else postgresql)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_args, **_options: None)
        yield


def fingerprint() -> str:
    digest = hashlib.sha256(django.__version__.encode())
    for file in sorted(Path(settings.BASE_DIR).glob("finetune_app/*/migrations/*.py")):
        digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()[:16]


def sqlite_template() -> Path:
    file = FOLDER / f"{fingerprint()}.sqlite3"
    if not file.exists():
        with tempfile.TemporaryDirectory() as folder:
            migrate(DATA_DIR=folder, DATABASE_URL="")
            for older in FOLDER.glob("*.sqlite3"):
                older.unlink()
            shutil.move(f"{folder}/finetune.sqlite3", file)
    return file


def postgresql_template() -> str:
    server = urlsplit(os.environ["DATABASE_URL"])
    checkout = hashlib.sha256(str(settings.BASE_DIR).encode()).hexdigest()[:6]
    prefix = f"finetune_template_{checkout}_"
    name, unfinished = f"{prefix}{fingerprint()}", f"{prefix}unfinished"
    with psycopg.connect(server._replace(path="/postgres").geturl(), autocommit=True) as database:
        found = database.execute("SELECT datname FROM pg_database WHERE datname ^@ %s", [prefix])
        names = {row[0] for row in found}
        if name not in names:
            for older in names:
                database.execute(f'DROP DATABASE "{older}"')
            database.execute(f'CREATE DATABASE "{unfinished}"')
            migrate(DATABASE_URL=server._replace(path=f"/{unfinished}").geturl())
            database.execute(f'ALTER DATABASE "{unfinished}" RENAME TO "{name}"')
    return name


def migrate(**environment: str) -> None:
    command = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
    subprocess.run(command, cwd=settings.BASE_DIR, env=os.environ | environment, check=True)
