"""Periodic tasks of alerts. Notices are sent in a thread, so that the clock process does not wait
for a slow mail server."""

import logging
import threading

from django.db import connection

from finetune_app.alerts import rechecks, rule_checks, sending
from finetune_app.jobs.periodic_tasks import PeriodicTask

log = logging.getLogger(__name__)
_sending = threading.Lock()


def check_rules() -> None:
    rule_checks.check_rules()


def run_due_rechecks() -> None:
    rechecks.start_due()


def send_notices() -> None:
    """Send what is due, unless the previous run is still sending."""
    if _sending.acquire(blocking=False):
        threading.Thread(target=_send, daemon=True).start()


def _send() -> None:
    try:
        sending.send_due()
    except Exception:  # the thread must not die silently
        log.exception("notices could not be sent")
    finally:
        connection.close()
        _sending.release()


TASKS = (
    PeriodicTask(check_rules, every_seconds=60),
    PeriodicTask(send_notices, every_seconds=10),
    PeriodicTask(run_due_rechecks, every_seconds=600),
)
