"""`manage.py clock`: reconciles the jobs every two seconds.

Also runs the periodic tasks that are due (periodic_tasks.py)."""

import logging
import time
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import DatabaseError, connection

from finetune_app.core import alive, in_use
from finetune_app.core.shared_secrets import require_shared_secrets
from finetune_app.jobs.clusters import dispatch, find_cluster
from finetune_app.jobs.periodic_tasks import TaskSchedule
from finetune_app.jobs.recovery import HeartbeatMonitor, reconcile

log = logging.getLogger(__name__)


class Command(BaseCommand):
    help = "Recovers jobs whose worker died, and wakes workers or the cluster. Run one or several."
    requires_system_checks: list[str] = []

    def handle(self, *args: Any, **options: Any) -> None:
        in_use.hold(settings.DATA_DIR, "clock")
        require_shared_secrets()
        if cluster := find_cluster():
            dispatch.run_in_background(cluster)
        monitor, schedule = HeartbeatMonitor(), TaskSchedule()
        while True:
            alive.touch("clock")
            try:
                reconcile(monitor)
                schedule.run_due()
            except DatabaseError as error:
                log.warning("the database does not answer: %s", error)
                connection.close()
            time.sleep(settings.CLOCK_SECONDS)
