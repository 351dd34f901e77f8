"""Fixtures: a real broker, a clock and two Celery workers on the test database."""

import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any

import psutil
import pytest
from django.conf import settings

from finetune_app.jobs import services
from finetune_app.jobs.management.commands.up import broker_command, worker_command
from finetune_app.jobs.models import Job
from finetune_app.jobs.process_manager import ManagedProcess, ProcessManager
from tests.worker.conftest import environment, wait_for
from tests.worker.counting.handlers import registered

WAIT = 90.0  # for a job to end or continue


class Processes:
    """A process manager whose processes tests kill. Restarts them while a test waits."""

    def __init__(self, **environment: str) -> None:
        logs = settings.DATA_DIR / "logs"
        logs.mkdir(exist_ok=True)
        self.manager = ProcessManager(logs)
        self.environment = environment

    def start(self) -> None:
        if settings.BROKER_SOCKET:
            self.manager.add("broker", broker_command(settings.BROKER_SOCKET))
        manage = [sys.executable, str(settings.BASE_DIR / "manage.py")]
        self.manager.add("clock", [*manage, "clock"], **self.environment, CLOCK_SECONDS="0.5")
        for lane, processes in (("light", 2), ("heavy", 1)):
            command = worker_command(lane, processes)
            self.manager.add(lane, command, **self.environment, FINETUNE_LANE=lane)

    def wait_for(self, what: Callable[[], Any], seconds: float = WAIT) -> Any:
        def look() -> Any:
            self.manager.look_after()
            return what()

        return wait_for(look, seconds)

    def until(self, job: Job, *states: str, seconds: float = WAIT) -> Job:
        found = Job.objects.filter(pk=job.pk, state__in=states)
        return self.wait_for(found.first, seconds)

    def process(self, name: str) -> ManagedProcess:
        return next(one for one in self.manager.processes if one.name == name)

    def main_process(self, name: str) -> psutil.Process:
        return psutil.Process(self.process(name).process.pid)

    def end(self) -> None:
        self.manager.kill()


@pytest.fixture(scope="module")
def module_managed(django_db_setup, django_db_blocker) -> Iterator[Processes]:
    """Stopped after each test file, since its workers would take the next file's jobs."""
    with django_db_blocker.unblock():
        managed = Processes(**environment())
    managed.start()
    yield managed
    managed.end()


@pytest.fixture
def managed(module_managed, transactional_db) -> Iterator[Processes]:
    module_managed.manager.look_after()
    with registered():
        yield module_managed


@pytest.fixture
def new_job(managed, team) -> Iterator[Callable[..., Job]]:
    """Creates jobs as the web does, and deletes them after the test."""
    made: list[Job] = []

    def make(kind: str = "count-heavy", **spec: Any) -> Job:
        spec = {"steps": 20, "pause": 0.05} | spec
        made.append(services.create(team=team, kind=kind, title="Count", spec=spec))
        return made[-1]

    yield make
    for job in made:
        services.cancel(job)
    idle = Job.objects.active()
    managed.wait_for(lambda: not idle.exists())


def kill(process: psutil.Process, number: int = signal.SIGKILL) -> None:
    process.send_signal(number)


def worker_of(job: Job) -> psutil.Process:
    """The pool process that supervises the job."""
    name = Job.objects.get(pk=job.pk).worker
    return psutil.Process(int(name.rsplit(":", 2)[1]))
