"""Dumps a PostgreSQL database and replaces one by a dump, with PostgreSQL's own programs."""

import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from django.db import connection

from finetune_app.operations.errors import BackupError

log = logging.getLogger(__name__)

# `pg_restore --clean` drops what the dump has. A newer schema has more, and tables that depend on
# it, so all of ours is dropped.
DROP_ALL = """
    SELECT format('DROP TABLE IF EXISTS %s CASCADE;', oid::regclass)
    FROM pg_class
    WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p')
        AND relowner = current_user::regrole
    UNION ALL
    SELECT format('DROP FUNCTION IF EXISTS %s CASCADE;', oid::regprocedure)
    FROM pg_proc
    WHERE pronamespace = current_schema()::regnamespace AND proowner = current_user::regrole
        AND NOT EXISTS (SELECT 1 FROM pg_depend WHERE objid = pg_proc.oid AND deptype = 'e')
"""
MIGRATION_LOCK = 0x66696E65  # any number that nobody else locks in this database
OWN_CONNECTION = {"autocommit": True}
RESTORE_OPTIONS = ("--quiet", "--no-psqlrc", "--single-transaction", "--set=ON_ERROR_STOP=1")


@contextmanager
def one_migration_at_a_time() -> Iterator[None]:
    """Wait while another host migrates the same database. On SQLite there is only this host."""
    if connection.vendor != "postgresql":
        yield
        return
    connection.ensure_connection()  # where there is no server, Django says so as everywhere
    # On a connection of its own: the migrations may close Django's.
    with psycopg.connect(**connection.get_connection_params() | OWN_CONNECTION) as lock:
        is_free = lock.execute("SELECT pg_try_advisory_lock(%s)", [MIGRATION_LOCK]).fetchone()
        if is_free != (True,):
            log.warning("another host prepares this database; waiting until it has ended")
            lock.execute("SELECT pg_advisory_lock(%s)", [MIGRATION_LOCK])
        yield


def dump_postgres(target: Path) -> None:
    name = str(connection.settings_dict["NAME"])
    _run("pg_dump", ["--format=custom", "--no-owner", "--file", str(target), name])


def replace_postgres(dump: Path) -> None:
    """In one transaction. Raises BackupError, and the database is then as it was."""
    drops, statements = dump.with_name("drops.sql"), dump.with_name("statements.sql")
    with connection.cursor() as cursor:
        cursor.execute(DROP_ALL)
        drops.write_text("\n".join(statement for (statement,) in cursor.fetchall()))
    connection.close()
    _run("pg_restore", ["--no-owner", "--file", str(statements), str(dump)])
    name = str(connection.settings_dict["NAME"])
    files = ("--file", str(drops), "--file", str(statements))
    _run("psql", [*RESTORE_OPTIONS, "--dbname", name, *files])


def _run(tool: str, arguments: list[str]) -> None:
    """Run a PostgreSQL client. The password is in the environment, where `ps` does not show it."""
    if shutil.which(tool) is None:
        raise BackupError(f"{tool} is needed for a PostgreSQL backup. Install PostgreSQL's client.")
    found = connection.settings_dict
    names = {"PGHOST": "HOST", "PGPORT": "PORT", "PGUSER": "USER", "PGPASSWORD": "PASSWORD"}
    login = {name: str(found[key]) for name, key in names.items() if found.get(key)}
    done = subprocess.run(
        [tool, *arguments], capture_output=True, text=True, env=os.environ | login
    )
    if done.returncode:
        raise BackupError(f"{tool} failed: {done.stderr.strip()[-400:]}")
