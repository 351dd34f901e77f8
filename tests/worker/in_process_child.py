"""A job's child that is no process of its own, for stories in which its result counts.

A child of a training or an install imports torch and transformers for seconds before it begins;
the process of the tests has them already. What is true of processes (they are killed, frozen, leave
a log) is told in tests/worker/test_supervise.py and the like, with real ones.
"""

import json
import threading
from collections import deque
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from finetune_app.jobs import models
from worker.channel import Job, Order
from worker.child import plain, work
from worker.child_process import END
from worker.supervise import Supervision


def supervise_in_process(taken: models.Job) -> None:
    """Run a job whose lease was taken to its end, as a worker does."""
    Supervision(taken, InProcessChild, threading.Event()).run()


class InProcessChild:
    """Works as `worker.child_process.Child`, from `begin` to its end in the thread of the
    supervisor, which then reads what it has sent. It hears no stop."""

    name = "here:0:gone"

    def __init__(self) -> None:
        self._events: deque[Any] = deque()
        self._status = 0

    def begin(self, order: Order, log: Path) -> None:
        import_module(order["runner"])  # fails loudly here, not as an error of the job
        folder, spec = Path(order["folder"]), json.loads(json.dumps(order["spec"]))
        self._status = work(Job(order["kind"], folder, spec), order["runner"], self)
        self._events.append(END)

    def emit(self, event: str, **fields: Any) -> None:
        self._events.append(json.loads(json.dumps({"event": event, **plain(fields)})))

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        pass

    def next(self, timeout: float) -> Any:
        return self._events.popleft()

    def beat(self, renewed_at: float) -> None:
        pass

    def send(self, value: Mapping[str, Any]) -> None:
        pass

    def is_alive(self) -> bool:
        return False

    def terminate(self) -> None:
        pass

    def end(self, timeout_seconds: float = 0.0) -> int:
        return self._status

    def tail(self) -> str:
        return ""
