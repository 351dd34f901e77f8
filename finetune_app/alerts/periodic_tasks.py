"""What the clock does for alerts: it looks, and sends what is due in a thread of its own, since a
mail server may take its time and jobs must not wait for it."""

import logging
import threading

from django.db import connection

from finetune_app.alerts import rechecks, sending, services

log = logging.getLogger(__name__)
_sending = threading.Lock()


def look() -> None:
    services.look()


def run_due_rechecks() -> None:
    rechecks.begin_due()


def send() -> None:
    """Begins unless the last time still goes on."""
    if _sending.acquire(blocking=False):
        threading.Thread(target=_send, daemon=True).start()


def _send() -> None:
    try:
        sending.send_due()
    except Exception:  # a clock lives on
        log.exception("notices could not be sent")
    finally:
        connection.close()
        _sending.release()
