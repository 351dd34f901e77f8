"""The machines that train: each worker for heavy jobs reports its own every minute.

The web's machine may be another one. What fits, and how long it takes, is judged by the machine
that will train.
"""

import logging
import socket
import threading
import time
from contextvars import copy_context
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.utils import timezone

from finetune_app.core.machine import Machine, this_machine
from finetune_app.jobs.models import WorkerMachine

log = logging.getLogger(__name__)

REPORT_SECONDS = 60.0
FRESH = timedelta(seconds=3 * REPORT_SECONDS)


def training_machine() -> Machine:
    """The machine that will train. Of several, the one with the least free memory, because any may
    take the job; this one while no worker elsewhere reports."""
    fresh = WorkerMachine.objects.filter(reported_at__gt=timezone.now() - FRESH)
    machines = [machine for one in fresh if (machine := _machine(one))]
    if not machines:
        return this_machine(settings.DATA_DIR)
    return min(machines, key=lambda machine: machine.available_bytes)


def _machine(report: WorkerMachine) -> Machine | None:
    """Measured now where it is this machine; None for the report of another release."""
    if report.host == socket.gethostname():
        return this_machine(settings.DATA_DIR)
    try:
        return Machine.from_json(report.machine)
    except TypeError:
        return None


def report() -> None:
    """Store this machine's state."""
    WorkerMachine.objects.update_or_create(
        host=socket.gethostname(),
        defaults={
            "machine": this_machine(settings.DATA_DIR).as_json(),
            "reported_at": timezone.now(),
        },
    )


def report_in_background() -> None:
    """Report every minute for as long as this process lives."""
    threading.Thread(target=copy_context().run, args=(_report_forever,), daemon=True).start()


def _report_forever() -> None:
    while True:
        try:
            report()
        except DatabaseError as error:
            log.warning("this machine could not be reported: %s", error)
        finally:
            connection.close()
        time.sleep(REPORT_SECONDS)
