"""Fixtures: a real broker, a clock and two Celery workers on the test database."""

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from django.conf import settings

from finetune_app.jobs import services
from finetune_app.jobs.models import Job
from finetune_app.jobs.process_manager import ManagedProcess, ProcessManager
from finetune_app.operations.management.commands.up import broker_command, worker_command
from tests.worker.conftest import environment, wait_for
from tests.worker.counting.handlers import registered

WAIT_SECONDS = 90.0  # for a job to end or continue


class Processes:
    """A process manager whose processes a test kills; `wait_for` restarts them."""

    def __init__(self, **environment: str) -> None:
        logs = settings.DATA_DIR / "logs"
        logs.mkdir(exist_ok=True)
        self.manager = ProcessManager(logs)
        self.environment = environment

    def start_broker(self) -> None:
        self.manager.add("broker", broker_command(settings.BROKER_SOCKET))

    def start(self) -> None:
        if settings.BROKER_SOCKET:
            self.start_broker()
        self.start_clock_and_workers()

    def start_clock_and_workers(self) -> None:
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        self.manager.add("clock", [*manage, "clock"], **self.environment, CLOCK_SECONDS="0.5")
        for lane, count in (("light", 2), ("heavy", 1)):
            command = worker_command(lane, count)
            self.manager.add(lane, command, **self.environment, FINETUNE_LANE=lane)

    def wait_for(self, condition: Callable[[], Any], seconds: float = WAIT_SECONDS) -> Any:
        def restart_and_check() -> Any:
            self.manager.restart_dead()
            return condition()

        return wait_for(restart_and_check, seconds)

    def until(self, job: Job, *states: str, seconds: float = WAIT_SECONDS) -> Job:
        """Wait until the job is in one of the states."""
        found = Job.objects.filter(pk=job.pk, state__in=states)
        return self.wait_for(found.first, seconds)

    def process(self, name: str) -> ManagedProcess:
        return next(one for one in self.manager.processes if one.name == name)

    def main_process(self, name: str) -> psutil.Process:
        return psutil.Process(self.process(name).process.pid)

    def end(self) -> None:
        self.manager.kill()


@pytest.fixture(scope="module")
def module_processes(django_db_setup, django_db_blocker) -> Iterator[Processes]:
    """Stopped after each test file, else its workers would take the jobs of the next file."""
    with django_db_blocker.unblock():
        processes = Processes(**environment())
    processes.start()
    yield processes
    processes.end()


@pytest.fixture
def without_broker(transactional_db) -> Iterator[Processes]:
    """A clock and workers that start while there is no broker."""
    processes = Processes(**environment())
    processes.start_clock_and_workers()
    with registered():
        yield processes
    processes.end()


@pytest.fixture
def processes(module_processes, transactional_db) -> Iterator[Processes]:
    module_processes.manager.restart_dead()
    with registered():
        yield module_processes


@pytest.fixture
def new_job(processes, team) -> Iterator[Callable[..., Job]]:
    """Creates jobs as the web does, and deletes them after the test."""
    jobs: list[Job] = []

    def make(kind: str = "count-heavy", **spec: Any) -> Job:
        spec = {"steps": 20, "pause": 0.05} | spec
        jobs.append(services.create(team=team, kind=kind, title="Count", spec=spec))
        return jobs[-1]

    yield make
    for job in jobs:
        services.cancel(job)
    active = Job.objects.active()
    processes.wait_for(lambda: not active.exists())


def kill(process: psutil.Process, number: int = signal.SIGKILL) -> None:
    process.send_signal(number)


def worker_of(job: Job) -> psutil.Process:
    """The pool process that supervises the job."""
    name = Job.objects.get(pk=job.pk).worker
    return psutil.Process(int(name.rsplit(":", 2)[1]))
