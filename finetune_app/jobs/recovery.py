"""Reconciles jobs with their workers; the clock process calls it every two seconds.

All updates are conditional, so several clocks may run, and one may stop half way.
"""

import logging
import time
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone

from finetune_app.jobs import lease, process_ids, services
from finetune_app.jobs.models import Job

log = logging.getLogger(__name__)

RESEND_SECONDS = 10  # for a waiting job while its lane is idle
RESEND_BUSY_SECONDS = 60  # while others run: workers look for the next job themselves
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


def send_waiting(*, at_once: bool = False) -> None:
    """Wake workers for jobs whose message was lost; with `at_once` for all waiting jobs."""
    now = timezone.now()
    for heavy in (True, False):
        lane = Job.objects.lane(heavy)
        wait = RESEND_BUSY_SECONDS if lane.leased().exists() else RESEND_SECONDS
        for job in lane.waiting()[:WAKE_UPS_PER_ROUND]:
            if at_once or job.sent_at is None or job.sent_at < now - timedelta(seconds=wait):
                services.wake_worker(job)
