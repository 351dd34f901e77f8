"""Short tasks that the clock process runs periodically.

A task takes at most about a second (it does the rest in its next run), is idempotent, and may
run in several clock processes at once. Rooms register theirs in `AppConfig.ready()`.
"""

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PeriodicTask:
    run: Callable[[], None]
    every_seconds: float

    @property
    def name(self) -> str:
        return f"{self.run.__module__}.{self.run.__qualname__}"


TASKS: list[PeriodicTask] = []


def register(*tasks: PeriodicTask) -> None:
    TASKS.extend(tasks)


class TaskSchedule:
    """When each task is due, on this process's monotonic clock."""

    def __init__(self) -> None:
        self._due_at = dict.fromkeys(TASKS, 0.0)

    def run_due(self) -> None:
        """Run the tasks that are due. A task that fails is logged and does not stop the others."""
        for task, due_at in self._due_at.items():
            if time.monotonic() < due_at:
                continue
            self._due_at[task] = time.monotonic() + task.every_seconds
            try:
                task.run()
            except Exception:
                log.exception("periodic task %s failed", task.name)
