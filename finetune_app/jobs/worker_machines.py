"""The machines that train: each worker for heavy jobs reports its own every minute, and a node of a
cluster while it runs one of our jobs.

The web's machine may be another one. What fits, and how long it takes, is judged by the machine
that will train.
"""

import logging
import os
import socket
import threading
import time
from contextvars import copy_context
from dataclasses import replace
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils import timezone

from finetune_app.core.machine import Machine, graphics_cards, this_machine
from finetune_app.jobs.models import WorkerMachine

log = logging.getLogger(__name__)

REPORT_SECONDS = 60.0
FRESH = timedelta(seconds=3 * REPORT_SECONDS)
FRESH_IN_CLUSTER = timedelta(days=7)  # a node reports while it runs one of our jobs


def training_machine() -> Machine:
    """The machine that will train: of those with the largest graphics card, if there are any, else
    of all, the one with the least free memory, because each of these may take the job. A job that a
    smaller card has no room for is left to these. This machine while no worker reports."""
    machines = _machines()
    if not machines:
        return this_machine(settings.DATA_DIR)
    largest = max((machine.card.memory_bytes for machine in machines if machine.card), default=0)
    machines = [
        machine for machine in machines if machine.card and machine.card.memory_bytes == largest
    ] or machines
    return min(machines, key=lambda machine: machine.available_bytes)


def some_have_a_card() -> bool:
    """Whether a worker with a graphics card reports."""
    return any(machine.card for machine in _machines())


def some_have_none() -> bool:
    """Whether a worker without a graphics card reports."""
    return any(not machine.card for machine in _machines())


def some_report() -> bool:
    """Whether anything is known of the machines that train."""
    return _fresh_reports().exists()


def card_sizes() -> list[int]:
    """Memory of the graphics card of each worker for heavy jobs that reports; 0: it has none."""
    cards = (report.machine.get("card") for report in _fresh_reports())
    return [int(card["memory_bytes"]) if card else 0 for card in cards]


def largest_card_bytes() -> int:
    return max(card_sizes(), default=0)


def _machines() -> list[Machine]:
    return [machine for one in _fresh_reports() if (machine := _machine(one))]


def _fresh_reports() -> QuerySet[WorkerMachine]:
    """Of the machines that train as things are set now: workers of ours, or nodes of a cluster."""
    since = timezone.now() - (FRESH_IN_CLUSTER if settings.CLUSTER else FRESH)
    return WorkerMachine.objects.filter(reported_at__gt=since, in_cluster=bool(settings.CLUSTER))


def _host() -> str:
    """NODE_NAME where this is a pod, whose own name is another one each time."""
    return os.environ.get("NODE_NAME") or socket.gethostname()


def _machine(report: WorkerMachine) -> Machine | None:
    """Measured now where it is this machine; None for the report of another release."""
    if report.host == _host():
        here = this_machine(settings.DATA_DIR)
        card = next((one for one in graphics_cards() if one.uuid == report.card), None)
        return replace(here, card=card)
    try:
        return Machine.from_json(report.machine)
    except TypeError:
        return None


def report() -> None:
    """Store the state of this machine, with the card that this worker uses."""
    machine = this_machine(settings.DATA_DIR)
    WorkerMachine.objects.update_or_create(
        host=_host(),
        card=machine.card.uuid if machine.card else "",
        defaults={
            "machine": machine.as_json(),
            "in_cluster": bool(settings.CLUSTER),
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
