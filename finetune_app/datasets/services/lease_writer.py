"""Writing very many rows for a job in short transactions, so that others can write in between."""

import time
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.utils import timezone

from finetune_app.jobs import lease
from finetune_app.jobs.models import Job

MAX_WRITE_SECONDS, PAUSE_SECONDS = 0.5, 0.12  # seconds of writing, and the pause after them


class LeaseLost(Exception):
    """The job was cancelled, or another worker has its lease."""


class LeaseWriter:
    """Checks before each transaction that the job still has its lease and is still `wanted`."""

    def __init__(
        self, job: Job, total: int, message: str, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        self.job, self.total, self.message, self._wanted = job, total, message, wanted
        self.done = 0
        self._reported_at = 0.0
        self._paused_at = time.monotonic()

    def check(self, more: int = 0) -> None:
        """Call first in each transaction. Raises LeaseLost."""
        if not self._wanted():
            raise LeaseLost
        self.done += more
        fields: dict[str, Any] = {"done": self.done, "total": self.total, "unit": "rows"}
        if not self._reported_at:
            fields |= {
                "phase": "adding",
                "message": self.message,
                "result": {},
                "running_at": timezone.now(),
            }
        if not self._reported_at or time.monotonic() > self._reported_at + 0.5 or not more:
            self._reported_at = time.monotonic()
            if not lease.write(self.job, **fields):
                raise LeaseLost

    def pause(self) -> None:
        """Call between transactions: pauses so that others can write. SQLite does not queue
        writers; a waiting one retries every tenth of a second."""
        if connection.vendor == "sqlite" and time.monotonic() > self._paused_at + MAX_WRITE_SECONDS:
            time.sleep(PAUSE_SECONDS)
            self._paused_at = time.monotonic()
