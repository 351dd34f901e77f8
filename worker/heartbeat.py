"""Renews a lease in the background and forwards each renewal to the child.

The child gets a beat only after the database has confirmed the lease, with the time from before
the query, so that it never trusts a lease longer than the database does.
"""

import logging
import threading
from contextvars import copy_context
from types import TracebackType
from typing import Self

from django.conf import settings
from django.db import DatabaseError, connection

from finetune_app.jobs import lease
from finetune_app.jobs.models import Job
from worker import boot_clock
from worker.child_process import Child

log = logging.getLogger(__name__)


class Heartbeat:
    """Context manager that renews the lease. `lost` is True once the lease is lost."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._child: Child | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=copy_context().run, args=(self._run,), daemon=True)
        self.renewed_at = boot_clock.seconds()
        self.lost = False

    def forward_to(self, child: Child) -> None:
        self._child = child

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.wait(settings.HEARTBEAT_SECONDS) and not self.lost:
            self._beat()
        connection.close()

    def _beat(self) -> None:
        asked_at = boot_clock.seconds()
        try:
            held = lease.renew(self._job)
        except DatabaseError as error:
            log.warning("job %s: heartbeat not written: %s", self._job.pk, error)
            connection.close()
            return
        if not held:
            # The state also changes when this worker itself ends the job.
            self.lost = not self._ended.is_set()
            return
        self.renewed_at = asked_at
        if self._child:
            self._child.beat(asked_at)
