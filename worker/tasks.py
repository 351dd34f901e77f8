"""The Celery tasks: wake-ups. The queue itself is in the database.

Each takes the leases of waiting jobs, one after the other, until none waits. A message that
comes twice finds nothing to do; one that is lost is sent again by the clock.
"""

import logging
import os
import signal
import threading
from typing import Any

import psutil
from celery.signals import worker_process_init, worker_ready, worker_shutting_down

from finetune_app.celery import app
from finetune_app.core import parent_death
from finetune_app.jobs import lease, process_ids, reconcile
from worker import warm_child
from worker.supervise import Supervision

log = logging.getLogger(__name__)

_leaving = threading.Event()
WARM_DELAY_SECONDS = 5.0  # the pages come up first


@app.task(name="worker.run_heavy")
def run_heavy(pk: int) -> None:
    _take_all(heavy=True)
    if not _leaving.is_set():
        warm_child.prepare()


@app.task(name="worker.run_light")
def run_light(pk: int) -> None:
    _take_all(heavy=False)


def _take_all(*, heavy: bool) -> None:
    me = process_ids.process_id()
    while not _leaving.is_set() and (job := lease.take_next(heavy=heavy, worker=me)):
        log.info("job %s: taken (%s, attempt %s)", job.pk, job.kind, job.attempts)
        if not process_ids.kill(job.child):
            log.error("job %s: its last child cannot be killed", job.pk)
            lease.release(job)
            return
        lease.end_child_runs(job, "found gone by the next worker")
        Supervision(job, warm_child.take if heavy else warm_child.new_light_child, _leaving).run()


@worker_process_init.connect
def begin_pool_process(**_: Any) -> None:
    """In each pool process: die with the worker, listen for its farewell, keep a warm child."""
    parent_death.die_with_parent(os.getppid())
    signal.signal(signal.SIGUSR2, lambda *_args: _leaving.set())
    if os.environ.get("FINETUNE_LANE") == "heavy":
        warm_child.prepare(WARM_DELAY_SECONDS)


@worker_ready.connect
def look_around(**_: Any) -> None:
    """At start: jobs whose worker died on this machine wait again, and all that waits is taken."""
    reconcile.recover(reconcile.HeartbeatMonitor())
    reconcile.send_waiting(at_once=True)


@worker_shutting_down.connect
def say_farewell(**_: Any) -> None:
    """A polite end: running jobs save, and go back into the queue."""
    for process in psutil.Process().children():
        try:
            process.send_signal(signal.SIGUSR2)
        except psutil.Error:
            continue
