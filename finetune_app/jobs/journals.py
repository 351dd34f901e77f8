"""The journals of jobs: when their children ran, what these printed, and tracebacks.

A job itself belongs to what it made (a training, an import), and goes with it.
"""

import time
from pathlib import Path

from django.conf import settings

from finetune_app.core.retention import delete_in_batches, retention_end
from finetune_app.jobs.models import ACTIVE, ChildRun, ClusterJob, Job
from finetune_app.jobs.periodic_tasks import PeriodicTask
from finetune_app.jobs.team_hours import month_start

FILES_AT_ONCE = 500


def delete_old_journals() -> None:
    """Delete what is older than JOB_LOG_DAYS, of jobs that have ended."""
    before = retention_end(settings.JOB_LOG_DAYS)
    if before is None:
        return
    # Those of this month count for the team's hours.
    delete_in_batches(ChildRun.objects.filter(ended_at__lt=min(before, month_start())))
    delete_in_batches(ClusterJob.objects.filter(ended_at__lt=before))
    ended = Job.objects.exclude(state__in=ACTIVE).filter(ended_at__lt=before)
    ended.exclude(detail="").update(detail="")
    _delete_log_files(before.timestamp())


def _delete_log_files(before: float) -> None:
    logs = Path(settings.DATA_DIR) / "logs"
    old = (path for path in logs.glob("job-*.log") if path.stat().st_mtime < before)
    deadline = time.monotonic() + 1
    for _number, path in zip(range(FILES_AT_ONCE), old, strict=False):
        path.unlink(missing_ok=True)
        if time.monotonic() > deadline:
            return


TASKS = (PeriodicTask(delete_old_journals, every_seconds=3600),)
