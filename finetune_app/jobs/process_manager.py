"""Starts, restarts and stops the processes of `manage.py up`."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from finetune_app.core.logs import rotate

SHUTDOWN_TIMEOUT_SECONDS = 10.0  # for running jobs to save; more than in worker/supervise.py
MIN_DELAY, MAX_DELAY = 0.5, 30.0  # seconds before a restart, doubled each time
STABLE_SECONDS = 60.0  # uptime after which the delay starts again at MIN_DELAY


@dataclass
class ManagedProcess:
    """One process: its name in the logs, its command and its restart delay.

    when_done: what to say once it has ended well; empty for one that never should.
    """

    name: str
    command: list[str]
    environment: dict[str, str] = field(default_factory=dict)
    when_done: str = ""
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    delay: float = MIN_DELAY
    restart_at: float = 0.0  # 0: not waiting for a restart
    restarts: int = 0

    def start(self, logs: Path) -> None:
        """Call from the main thread: the child dies with the thread that started it."""
        die_with_us = [sys.executable, "-m", "finetune_app.core.parent_death", str(os.getpid())]
        with (logs / f"{self.name}.log").open("ab") as log:
            self.process = subprocess.Popen(
                die_with_us + self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # only `up` gets Ctrl-C and ends all in order
                env=os.environ | self.environment | {"FINETUNE_PROCESS": self.name},
            )
        self.started_at = time.monotonic()

    def is_alive(self) -> bool:
        return self.process is not None and self.process.poll() is None

    def is_done(self) -> bool:
        return bool(self.when_done and self.process and self.process.poll() == 0)

    def send(self, number: int) -> None:
        if self.process and self.is_alive():
            self.process.send_signal(number)

    def kill_all(self) -> None:
        """Kill the process and the rest of its session."""
        if self.process:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


class ProcessManager:
    """All processes of one installation."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self.processes: list[ManagedProcess] = []

    def add(
        self, name: str, command: list[str], *, when_done: str = "", **environment: str
    ) -> None:
        process = ManagedProcess(name, command, environment, when_done)
        self.processes.append(process)
        rotate(self.logs / f"{name}.log")
        process.start(self.logs)

    def restart_dead(self) -> list[str]:
        """Restart dead processes with exponential backoff, but not what is done. Returns log
        messages."""
        messages = [process.when_done for process in self.processes if process.is_done()]
        self.processes = [process for process in self.processes if not process.is_done()]
        now = time.monotonic()
        for process in self.processes:
            if process.is_alive():
                continue
            if not process.restart_at:
                uptime = now - process.started_at
                process.delay = (
                    MIN_DELAY if uptime > STABLE_SECONDS else min(process.delay * 2, MAX_DELAY)
                )
                process.restart_at = now + (process.delay if process.restarts else 0)
                messages.append(
                    f"{process.name} ended; starting it again (see {process.name}.log)."
                )
            if now >= process.restart_at:
                process.restart_at, process.restarts = 0.0, process.restarts + 1
                process.start(self.logs)
        return messages

    def rotate_logs(self) -> None:
        for process in self.processes:
            rotate(self.logs / f"{process.name}.log")

    def end(self, *, at_once: bool = False) -> None:
        """Terminate all processes, the broker last, then kill the remaining ones."""
        broker = [process for process in self.processes if process.name == "broker"]
        others = [process for process in self.processes if process.name != "broker"]
        until = time.monotonic() + (0 if at_once else SHUTDOWN_TIMEOUT_SECONDS)
        for group in (others, broker):
            for process in group:
                process.send(signal.SIGTERM)
            while any(process.is_alive() for process in group) and time.monotonic() < until:
                time.sleep(0.05)
        self.kill()

    def kill(self) -> None:
        for process in self.processes:
            process.kill_all()
