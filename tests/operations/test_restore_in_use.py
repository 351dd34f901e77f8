"""A restore is refused while anything uses the data folder or the database."""

import errno
import os
import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from django.conf import settings as configured
from django.db import connection

from finetune_app.core import in_use
from finetune_app.jobs.preflight import lock_installation
from tests.operations.drill.host import Host, free_port
from tests.worker.conftest import wait_for

PROCESSES = {
    "the web": ["-m", "gunicorn", "finetune_app.asgi:application"],
    "the clock": ["manage.py", "clock"],
    "a worker": ["-m", "celery", "--skip-checks", "-A", "finetune_app", "worker"],
    "the engine": ["manage.py", "engine"],
}
OPTIONS = {
    "the web": ["-c", "python:finetune_app.web_server"],
    "a worker": ["-I", "worker.tasks", "-Q", "light", "-c", "1", "-n", "drill@%h"],
}


@pytest.fixture(scope="module")
def saved(host, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("kept") / "backup.tar.gz"
    host.manage("prepare", "--without-starter")
    host.script("seed")
    host.manage("backup", str(target))
    return target


def restore(host: Host, saved: Path) -> subprocess.CompletedProcess[str]:
    return host.attempt("manage.py", "restore", str(saved), "--force")


def is_held(host: Host, name: str) -> bool:
    try:
        with in_use.exclusive(host.data_dir):
            return False
    except in_use.InUse as holders:
        return name in str(holders)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_running_process_is_named(host, saved, name):
    command = [*PROCESSES[name], *OPTIONS.get(name, [])]
    with host.running(*command, PORT=str(free_port())):
        wait_for(lambda: is_held(host, name), seconds=120)
        refused = restore(host, saved)
    assert refused.returncode == 1
    assert f"{name} has {host.data_dir} in use. Stop it first" in refused.stderr


def test_no_process_starts_during_a_restore(tmp_path):
    code = (
        "import pathlib, sys; from finetune_app.core import in_use; in_use.WAIT_SECONDS = 0; "
        "in_use.hold(pathlib.Path(sys.argv[1]), 'web')"
    )
    start = [sys.executable, "-c", code, str(tmp_path)]
    with in_use.exclusive(tmp_path):
        refused = subprocess.run(start, cwd=configured.BASE_DIR, capture_output=True, text=True)
    assert refused.returncode == 1
    assert "A restore or a change of secrets is under way" in refused.stderr
    assert subprocess.run(start, cwd=configured.BASE_DIR).returncode == 0


def test_where_files_cannot_be_locked_a_process_starts_and_the_commands_refuse(
    tmp_path, monkeypatch, caplog
):
    def no_locks(*_args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(in_use.fcntl, "flock", no_locks)
    in_use.hold(tmp_path, "web")
    assert "stop Finetune before a restore" in caplog.text
    with pytest.raises(OSError, match="No locks available"), in_use.exclusive(tmp_path):
        pytest.fail("it had the folder alone")


def test_make_run_is_named(host, saved):
    host.data_dir.joinpath("run").mkdir(exist_ok=True)
    folder = host.run("-c", "from django.conf import settings; print(settings.RUN_DIR)").strip()
    lock = lock_installation(Path(folder))
    try:
        assert "Finetune is running here. Stop it first" in restore(host, saved).stderr
    finally:
        os.close(lock)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite")
def test_an_open_database_is_named(host, saved):
    file = host.data_dir / "finetune.sqlite3"
    with sqlite3.connect(file) as shell:
        shell.execute("SELECT count(*) FROM goals_goal").fetchone()
        refused = restore(host, saved)
    shell.close()
    assert f"A program has the database {file} open" in refused.stderr
    assert "Restored." in restore(host, saved).stdout


@pytest.mark.skipif(connection.vendor != "sqlite", reason="of SQLite")
def test_a_damaged_database_is_replaced(host, saved):
    (host.data_dir / "finetune.sqlite3").write_bytes(b"no database any more" * 500)
    assert "Restored." in restore(host, saved).stdout
    assert host.script("use")["goals"] == ["Sort shop emails"]


@pytest.mark.skipif(connection.vendor != "postgresql", reason="of PostgreSQL")
def test_another_session_is_named(host, saved):
    import psycopg

    with psycopg.connect(host.database_url, application_name="a shell"):
        refused = restore(host, saved)
    assert re.search(r"The database \S+ is in use: a shell on \S+\. Stop it", refused.stderr)
    assert "Restored." in restore(host, saved).stdout
