"""Has the installation alone, for commands that replace its database, files or secrets."""

import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from django.conf import settings
from django.db import connection, connections

from finetune_app.core import in_use
from finetune_app.jobs.preflight import NotReady, lock_installation
from finetune_app.operations.errors import InstallationInUse

# A clock, also that of another host, asks the database every two seconds.
WATCH_SECONDS = 3.0
WATCH_EVERY_SECONDS = 0.1
SQLITE_WAIT_SECONDS = 3.0
HOW_TO_STOP = (
    "Stop it first: Ctrl-C where `make run` runs, or `docker compose stop web clock light heavy "
    "engine`, on every host. Nothing was changed."
)

OTHER_SESSIONS = """
    SELECT DISTINCT coalesce(nullif(application_name, ''), 'a program') || ' on '
        || coalesce(host(client_addr), 'this host')
    FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
        AND backend_type = 'client backend'
    ORDER BY 1
"""


@contextmanager
def exclusive_use() -> Iterator[None]:
    """No process of Finetune starts while this is held.

    Raises InstallationInUse while anything else uses the data folder or the database.
    """
    try:
        up_lock = lock_installation(settings.RUN_DIR)
    except NotReady:
        raise InstallationInUse(f"Finetune is running here. {HOW_TO_STOP}") from None
    try:
        with in_use.exclusive(settings.DATA_DIR):
            _require_no_sessions()
            yield
    except in_use.InUse as holders:
        raise InstallationInUse(
            f"Finetune is running: {holders} has {settings.DATA_DIR} in use. {HOW_TO_STOP}"
        ) from None
    finally:
        os.close(up_lock)


def _require_no_sessions() -> None:
    if settings.ON_SQLITE:
        connections.close_all()
        _require_sqlite_alone(Path(connection.settings_dict["NAME"]))
        return
    until = time.monotonic() + WATCH_SECONDS
    while True:
        with connection.cursor() as cursor:
            cursor.execute(OTHER_SESSIONS)
            sessions = [name for (name,) in cursor.fetchall()]
        if sessions:
            raise InstallationInUse(
                f"The database {connection.settings_dict['NAME']} is in use: "
                f"{', '.join(sessions)}. {HOW_TO_STOP}"
            )
        if time.monotonic() > until:
            connection.close()
            return
        time.sleep(WATCH_EVERY_SECONDS)


def _require_sqlite_alone(file: Path) -> None:
    """Leaving the WAL mode, which the next connection sets again, needs the file alone."""
    if not file.exists():
        return
    try:
        with closing(sqlite3.connect(file, timeout=SQLITE_WAIT_SECONDS)) as database:
            database.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.DatabaseError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
            return  # a damaged file, which a restore replaces
        raise InstallationInUse(
            f"A program has the database {file} open, maybe `manage.py shell`. {HOW_TO_STOP}"
        ) from None
