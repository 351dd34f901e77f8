"""An installation with its own data folder and its own database."""

import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
from django.conf import settings

HERE = Path(__file__).parent
CODE = Path(settings.BASE_DIR)
# Secrets and services of whoever runs the tests; a host has its own.
OF_THE_TESTS = ("SECRET_KEY", "FIELD_KEYS", "KEY_PEPPER", "ENGINE_SECRET", "REDIS_URL", "S3_BUCKET")


@dataclass(frozen=True)
class Host:
    data_dir: Path
    database_url: str

    def run(self, *command: str, code: Path = CODE, **variables: str) -> str:
        """What `python COMMAND` prints, run with the source code in `code`."""
        done = self.attempt(*command, code=code, **variables)
        assert done.returncode == 0, done.stderr[-4000:]
        return done.stdout

    def attempt(
        self, *command: str, code: Path = CODE, **variables: str
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, *command],
            cwd=code,
            env=self.environment(code) | variables,
            capture_output=True,
            text=True,
        )

    @contextmanager
    def running(self, *command: str, **variables: str) -> Iterator[None]:
        """A process of this host that goes on until the end of the block."""
        process = subprocess.Popen(
            [sys.executable, *command], cwd=CODE, env=self.environment() | variables
        )
        try:
            yield
        finally:
            process.kill()
            process.wait()

    def environment(self, code: Path = CODE) -> dict[str, str]:
        kept = {name: text for name, text in os.environ.items() if name not in OF_THE_TESTS}
        return kept | {
            "DATA_DIR": str(self.data_dir),
            "DATABASE_URL": self.database_url,
            "DEBUG": "1",
            "DJANGO_SETTINGS_MODULE": "finetune_app.settings",
            "PYTHONPATH": str(code),
        }

    def manage(self, *words: str, code: Path = CODE, **variables: str) -> str:
        return self.run("manage.py", *words, code=code, **variables)

    def script(self, name: str, *words: str, code: Path = CODE, **variables: str) -> Any:
        """The JSON that a script of this folder prints, or None."""
        said = self.run(str(HERE / f"{name}.py"), *words, code=code, **variables)
        return json.loads(said) if said else None


@contextmanager
def empty_host(data_dir: Path, server: str, template: str = "") -> Iterator[Host]:
    """An installation without anything in it, with a database on a PostgreSQL server, or SQLite.

    template: a database with all tables that is copied, so that nothing is left to migrate.
    """
    if not server:
        if template:
            data_dir.mkdir()
            shutil.copy(template, data_dir / "finetune.sqlite3")
        yield Host(data_dir, "")
        return
    place = urlsplit(server)
    name = f"finetune_host_{secrets.token_hex(6)}"
    copied = f'TEMPLATE "{template}"' if template else ""
    with psycopg.connect(place._replace(path="/postgres").geturl(), autocommit=True) as database:
        database.execute(f'CREATE DATABASE "{name}" {copied}')
        try:
            yield Host(data_dir, place._replace(path=f"/{name}").geturl())
        finally:
            database.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])
