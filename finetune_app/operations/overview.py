"""The state of the installation: its machine, queue, workers and failures."""

import shutil
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection
from django.db.models import Count, Max, QuerySet
from django.utils import timezone

from finetune_app.core import alive
from finetune_app.core.machine import this_machine
from finetune_app.jobs.models import LEASED, ChildRun, Job, State
from finetune_app.monitoring.engine_status import engine_status

MAX_JOBS = 50  # running and waiting, each
MAX_FAILURES = 20
FAILURE_DAYS = 7
PROCESSES = ("clock", "light", "heavy")  # that say on their host that they live
WORKER_HOURS = 24  # a host that ran nothing for so long is not listed


@dataclass(frozen=True)
class WorkerHost:
    name: str
    runs: int  # child processes in the last WORKER_HOURS
    last_at: datetime


def overview() -> dict[str, Any]:
    """Context of templates/operations/overview.html, apart from the teams."""
    waiting = Job.objects.filter(state=State.QUEUED)
    return {
        "machine": this_machine(settings.DATA_DIR),
        "disk": shutil.disk_usage(settings.DATA_DIR),
        "database": connection.vendor,
        "engine": engine_status(),
        "processes": [(name, alive.is_alive(name)) for name in PROCESSES],
        "hosts": worker_hosts(),
        "running": _with_teams(Job.objects.filter(state__in=LEASED).order_by("started_at")),
        "waiting": _with_teams(waiting.order_by("queued_at", "pk")),
        "waiting_count": waiting.count(),
        "failures": recent_failures(),
        "failure_days": FAILURE_DAYS,
    }


def worker_hosts() -> list[WorkerHost]:
    """Hosts whose workers started a child process lately; a worker is named host:pid:start."""
    since = timezone.now() - timedelta(hours=WORKER_HOURS)
    found = ChildRun.objects.filter(started_at__gte=since).values_list("worker")
    hosts: dict[str, WorkerHost] = {}
    for worker, runs, last_at in found.annotate(Count("pk"), Max("started_at")):
        # Without the id of the boot and of the pid namespace (jobs/process_ids.py).
        name = worker.partition(":")[0].rsplit("-", 2)[0]
        known = hosts.get(name, WorkerHost(name, 0, last_at))
        hosts[name] = WorkerHost(name, known.runs + runs, max(known.last_at, last_at))
    return sorted(hosts.values(), key=lambda host: host.name)


def recent_failures() -> list[Job]:
    since = timezone.now() - timedelta(days=FAILURE_DAYS)
    failed = Job.objects.filter(state=State.FAILED, ended_at__gte=since)
    return list(failed.select_related("team").order_by("-ended_at")[:MAX_FAILURES])


def _with_teams(jobs: "QuerySet[Job]") -> list[Job]:
    return list(jobs.select_related("team")[:MAX_JOBS])
