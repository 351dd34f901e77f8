"""`manage.py up` starts all processes, and none outlives it."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from django.conf import settings

from finetune_app.jobs import process_ids
from tests.worker.conftest import wait_for

PROCESSES = {"valkey-server", "gunicorn", "clock", "light", "heavy", "worker.engine.server"}


@pytest.fixture
def up(tmp_path) -> Iterator[subprocess.Popen]:
    process = start_up(tmp_path)
    yield process
    if process.poll() is None:
        process.kill()
    process.wait()


def start_up(tmp_path: Path, *options: str) -> subprocess.Popen:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    env = {"DATA_DIR": str(tmp_path / "data"), "PORT": str(port), "DATABASE_URL": ""}
    env |= {"REDIS_URL": "", "DJANGO_SETTINGS_MODULE": "tests.worker.counting.settings"}
    return subprocess.Popen(
        [sys.executable, "-u", "manage.py", "up", *options],
        cwd=settings.BASE_DIR,
        env=os.environ | env,
        stdout=(tmp_path / "up.txt").open("w"),
        stderr=subprocess.STDOUT,
    )


def output_of(folder: Path) -> str:
    return (folder / "up.txt").read_text()


def child_processes(up: subprocess.Popen) -> list[psutil.Process]:
    return psutil.Process(up.pid).children(recursive=True)


def wait_until_ready(up: subprocess.Popen, folder: Path) -> list[psutil.Process]:
    wait_for(lambda: "/set-up/?code=" in output_of(folder), seconds=90)
    wait_for(lambda: all(name in command_lines(up) for name in PROCESSES))
    return child_processes(up)


def command_lines(up: subprocess.Popen) -> str:
    lines = []
    for one in child_processes(up):
        with suppress(psutil.NoSuchProcess):  # it has just ended
            lines.append(" ".join(one.cmdline()))
    return "\n".join(lines)


def assert_all_gone(processes: list[psutil.Process]) -> None:
    wait_for(lambda: all(process_ids.start_time(one.pid) is None for one in processes))


@pytest.mark.long  # the browser tests end their installations like this, too
def test_ctrl_c_ends_all_processes(up, tmp_path):
    processes = wait_until_ready(up, tmp_path)
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 0
    assert_all_gone(processes)


def test_killing_up_leaves_no_orphan(up, tmp_path):
    processes = wait_until_ready(up, tmp_path)
    up.kill()
    up.wait()
    assert_all_gone(processes)


def test_ctrl_c_while_it_prepares_ends_it_with_a_sentence(tmp_path):
    up = start_up(tmp_path)
    wait_for(lambda: "Preparing the database" in output_of(tmp_path))
    up.send_signal(signal.SIGINT)
    assert up.wait(30) == 130
    assert output_of(tmp_path).splitlines()[-1].endswith("Stopped. Run it again to go on.")
    assert "Traceback" not in output_of(tmp_path)
