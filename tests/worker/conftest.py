"""Supervisors with real child processes, on the test database, with short leases."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest
from django.conf import settings as django_settings
from django.db import connection

from finetune_app.jobs import lease, process_ids, services
from finetune_app.jobs.models import ChildRun, Job
from tests.worker.counting.handlers import folder_of, registered
from worker import warm_child
from worker.supervise import Supervision

TEST_LEASE_SECONDS = 2.0


@pytest.fixture
def counting(monkeypatch, settings):
    """Registers the jobs that count, with a short lease; wakes no worker."""
    settings.LEASE_SECONDS, settings.HEARTBEAT_SECONDS = TEST_LEASE_SECONDS, TEST_LEASE_SECONDS / 5
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    with registered():
        yield


@pytest.fixture
def new_job(counting, transactional_db, team) -> Callable[..., Job]:
    def make(kind: str = "count-heavy", **spec: Any) -> Job:
        spec = {"steps": 4, "pause": 0.05} | spec
        return services.create(team=team, kind=kind, title="Count", spec=spec)

    return make


def supervise(job: Job, shutting_down: threading.Event | None = None) -> Job:
    """Take the lease and run the job to its end, as a worker does."""
    taken = lease.take(job.pk, worker=process_ids.process_id())
    assert taken is not None
    Supervision(taken, warm_child.new_light_child, shutting_down or threading.Event()).run()
    return Job.objects.get(pk=job.pk)


@pytest.fixture
def start_supervisor(counting, transactional_db) -> Iterator[Callable[[Job], subprocess.Popen]]:
    """A supervisor in a process of its own, which a test may kill or stop."""
    started: list[subprocess.Popen] = []

    def start(job: Job) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.worker.supervisor", str(job.pk)],
            env=os.environ | environment() | {"FINETUNE_LANE": "heavy"},
            cwd=django_settings.BASE_DIR,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()


def freeze(supervisor: subprocess.Popen) -> None:
    """SIGSTOP while it holds no lock of SQLite, which nothing could break. (PostgreSQL breaks locks
    itself.)"""
    for _ in range(50):
        os.kill(supervisor.pid, signal.SIGSTOP)
        if connection.vendor != "sqlite" or _writable(connection.settings_dict["NAME"]):
            return
        os.kill(supervisor.pid, signal.SIGCONT)
        time.sleep(0.05)
    raise AssertionError("the supervisor held a database lock each time")


def _writable(file: str) -> bool:
    with closing(sqlite3.connect(file, timeout=0.3, isolation_level=None)) as other:
        try:
            other.execute("BEGIN IMMEDIATE")
            other.execute("ROLLBACK")
        except sqlite3.OperationalError:
            return False
    return True


def environment() -> dict[str, str]:
    """Settings of another process that uses the test's database and data folder."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        url = f"sqlite:///{database['NAME']}"
    else:
        host, port = database["HOST"] or "", database["PORT"] or ""
        url = (
            f"postgres://{database['USER']}:{database['PASSWORD']}@{host.replace('/', '%2F')}"
            f"{':' if port else ''}{port}/{database['NAME']}"
        )
    return {
        "DATABASE_URL": url,
        "DATA_DIR": str(django_settings.DATA_DIR),
        "DJANGO_SETTINGS_MODULE": "tests.worker.counting.settings",
        "LEASE_SECONDS": str(TEST_LEASE_SECONDS),
        "LOG_LEVEL": "ERROR",
    }


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> Any:
    """The first true result of `condition`. Raises AssertionError after `seconds`."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if found := condition():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not true within {seconds} s")


@contextmanager
def meanwhile(do: Callable[[], Any], *, after: float = 0.0) -> Iterator[None]:
    """Call `do` in a thread, `after` seconds, while the block runs. Its exceptions are raised."""
    with ThreadPoolExecutor(1) as pool:

        def run() -> None:
            time.sleep(after)
            try:
                do()
            finally:
                connection.close()

        future = pool.submit(run)
        yield
        future.result()


def steps_of(job: Job) -> list[tuple[int, int, float]]:
    """Steps that the children recorded themselves: (step, pid, clock)."""
    file = folder_of(job) / "steps.txt"
    if not file.exists():
        return []
    rows = [line.split() for line in file.read_text().splitlines()]
    return [(int(step), int(pid), float(at)) for step, pid, at in rows]


def handler_calls(job: Job, method: str) -> list[dict[str, Any]]:
    file: Path = folder_of(job) / "calls.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    return [value for name, value in lines if name == method]


def child_of(job: Job) -> psutil.Process:
    """The running child of a job, once it has counted a step."""
    wait_for(lambda: steps_of(job))
    name = wait_for(lambda: Job.objects.get(pk=job.pk).child)
    return psutil.Process(int(name.rsplit(":", 2)[1]))


def assert_one_at_a_time(job: Job) -> None:
    """Neither the ChildRuns nor the children's own records overlap."""
    runs = list(ChildRun.objects.filter(job=job).order_by("started_at"))
    for earlier, later in pairwise(runs):
        assert earlier.ended_at is not None
        assert earlier.ended_at <= later.started_at
    pids = [pid for _, pid, _ in steps_of(job)]
    changes = sum(one != other for one, other in pairwise(pids))
    assert changes == len(set(pids)) - 1, "a child worked after its successor had started"
