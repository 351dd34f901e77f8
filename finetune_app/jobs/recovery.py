"""Reconciles jobs with their workers; the clock process calls it every two seconds.

All updates are conditional, so several clocks may run, and one may stop half way.
"""

import logging
import time
from typing import Any

from django.conf import settings

from finetune_app.jobs import lease, process_ids, services
from finetune_app.jobs.models import Job
from finetune_app.jobs.preemption import make_room

log = logging.getLogger(__name__)

WAKE_UPS_PER_ROUND = 20


class HeartbeatMonitor:
    """Tracks on this process's monotonic clock how long each lease has not been renewed.

    Heartbeats are not compared with the wall clock, since a jump would make every lease look
    stale. A lease is stale when its heartbeat has not changed for the duration of a lease.
    """

    def __init__(self) -> None:
        self._seen: dict[int, tuple[Any, float]] = {}

    def silent_seconds(self, job: Job) -> float:
        now = time.monotonic()
        beat = (job.token, job.heartbeat_at)
        known, since = self._seen.get(job.pk, (None, now))
        if known != beat:
            since = now
            self._seen[job.pk] = (beat, now)
        return now - since

    def keep_only(self, pks: set[int]) -> None:
        self._seen = {pk: seen for pk, seen in self._seen.items() if pk in pks}


def reconcile(monitor: HeartbeatMonitor) -> None:
    recover(monitor)
    send_waiting()
    make_room()


def recover(monitor: HeartbeatMonitor) -> None:
    """Release leases whose worker is dead."""
    leased = list(Job.objects.leased())
    monitor.keep_only({job.pk for job in leased})
    for job in leased:
        why = _reason_dead(job, monitor)
        if why and process_ids.kill(job.child):
            lease.end_child_runs(job, f"found gone by the clock: {why}")
            state = lease.release(job, unless_renewed=True)
            log.warning("job %s: %s; now %s", job.pk, why, state or "taken back meanwhile")


def _reason_dead(job: Job, monitor: HeartbeatMonitor) -> str:
    """Why the worker of a leased job counts as dead, or "" while it may be alive."""
    if process_ids.is_on_this_machine(job.worker) and not process_ids.is_alive(job.worker):
        return "its worker ended"
    if monitor.silent_seconds(job) > settings.LEASE_SECONDS:
        return "its worker fell silent"
    return ""


def send_waiting() -> None:
    """Wake workers for jobs that have become due or were handed back. A message that is lost is
    not sent again: workers look for waiting jobs by themselves, too."""
    for heavy in (False,) if settings.CLUSTER else (True, False):
        for job in Job.objects.lane(heavy).waiting().filter(sent_at=None)[:WAKE_UPS_PER_ROUND]:
            if not services.wake_worker(job):
                return  # the broker is away
