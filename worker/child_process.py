"""A child process as its supervisor sees it: orders in, events out, the tail of its log kept."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from django.conf import settings

from finetune_app.jobs import process_ids
from finetune_app.jobs.handlers import ChildSpec
from finetune_app.jobs.kinds import JobKind
from finetune_app.jobs.models import Job
from worker.channel import Order

END = object()  # returned by `next` when the child's output has closed
TAIL_LINES = 200
LOG_BYTES = 5_000_000


def order_for(job: Job, kind: JobKind, spec: ChildSpec, *, renewed_at: float) -> Order:
    assert kind.runner is not None
    return {
        "kind": job.kind,
        "runner": kind.runner,
        "folder": str(spec.folder),
        "spec": spec.spec,
        "lease": settings.LEASE_SECONDS,
        "at": renewed_at,
        "request_id": job.request_id,
        "job_id": job.pk,
        "lock": str(Path(settings.DATA_DIR) / "run" / f"job-{job.pk}.lock"),
    }


class Child:
    """Starts at once. Create it in the main thread: the child dies with its thread.

    `arguments` are those of worker/child.py.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        command = [sys.executable, "-m", "worker.child", str(os.getpid())]
        self._process = subprocess.Popen(
            [*command, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=settings.BASE_DIR,
            env={**os.environ, **environment, "FINETUNE_PROCESS": "child"},
        )
        self.name = process_ids.process_id(self._process.pid)
        self._events: queue.Queue[Any] = queue.Queue(maxsize=10_000)
        self._writing = threading.Lock()
        self._tail: deque[str] = deque(maxlen=TAIL_LINES)
        self._log: Path | None = None
        threading.Thread(target=self._read_events, daemon=True).start()
        self._stderr = threading.Thread(target=self._read_stderr, daemon=True)
        self._stderr.start()

    def begin(self, order: Order, log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._log = log
        self.send(order)

    def beat(self, renewed_at: float) -> None:
        self.send({"command": "beat", "at": renewed_at})

    def send(self, value: Mapping[str, Any]) -> None:
        """Send one line. A broken pipe is ignored: the supervisor notices the exit."""
        try:
            with self._writing:
                assert self._process.stdin
                self._process.stdin.write(json.dumps(value).encode() + b"\n")
                self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def next(self, timeout: float) -> Any:
        """The next event, END, or None after `timeout` seconds."""
        try:
            return self._events.get(timeout=timeout)
        except queue.Empty:
            return None

    def is_alive(self) -> bool:
        return self._process.poll() is None

    def terminate(self) -> None:
        if self.is_alive():
            os.killpg(self._process.pid, signal.SIGTERM)

    def end(self, timeout_seconds: float = 0.0) -> int:
        """Wait up to `timeout_seconds` for an exit, then kill the session; the exit status."""
        until = time.monotonic() + timeout_seconds
        while self.is_alive() and time.monotonic() < until:
            time.sleep(0.02)
        if self.is_alive():
            self._process.kill()
        status = self._process.wait()
        process_ids.kill(self.name)  # whatever it started itself
        self._stderr.join(1)
        return status

    def tail(self) -> str:
        return "".join(self._tail)

    def _read_events(self) -> None:
        assert self._process.stdout
        for line in self._process.stdout:
            try:
                self._events.put(json.loads(line))
            except ValueError:
                self._tail.append(f"unreadable event: {line[:200]!r}\n")
        self._events.put(END)

    def _read_stderr(self) -> None:
        assert self._process.stderr
        for line in self._process.stderr:
            text = line.decode(errors="replace")
            self._tail.append(text)
            self.write_log(text)

    def write_log(self, text: str) -> None:
        """Append to the job's log, which is halved when it exceeds its limit."""
        if self._log is None:
            return
        try:
            with self._log.open("a") as file:
                file.write(text)
                size = file.tell()
            if size > LOG_BYTES:
                self._log.write_bytes(self._log.read_bytes()[-LOG_BYTES // 2 :])
        except OSError:
            pass  # the child reports a full disk itself
