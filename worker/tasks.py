"""Celery tasks that wake the workers. The queue itself is in the database.

Each task runs waiting jobs until none is left. A repeated message finds nothing to do; the clock
sends a lost one again.
"""

import logging
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import psutil
from celery.signals import worker_init, worker_process_init, worker_ready, worker_shutting_down
from django.conf import settings

from finetune_app.celery import app
from finetune_app.core import alive, in_use, logs, parent_death
from finetune_app.jobs import lease, process_ids, recovery, worker_machines
from finetune_app.jobs.models import Job
from worker import warm_child
from worker.child_process import Child
from worker.supervise import Supervision

log = logging.getLogger(__name__)

_shutting_down = threading.Event()
WARM_DELAY_SECONDS = 5.0  # the web starts first


@app.task(name="worker.run_heavy")
def run_heavy(pk: int) -> None:
    _run_waiting_jobs(heavy=True)
    if not _shutting_down.is_set():
        warm_child.prepare()


@app.task(name="worker.run_light")
def run_light(pk: int) -> None:
    _run_waiting_jobs(heavy=False)


def _run_waiting_jobs(*, heavy: bool) -> None:
    this_process = process_ids.process_id()
    while not _shutting_down.is_set() and (
        job := lease.take_next(heavy=heavy, worker=this_process)
    ):
        with logs.context(request=job.request_id, job=job.pk):
            if not _run(job, warm_child.take if heavy else warm_child.new_light_child):
                return


def _run(job: Job, make_child: Callable[[], Child]) -> bool:
    """Run a job whose lease this worker holds; False if its last child is in the way."""
    log.info("job %s: taken (%s, attempt %s)", job.pk, job.kind, job.attempts)
    if not process_ids.kill(job.child):
        log.error("job %s: its last child cannot be killed", job.pk)
        lease.release(job)
        return False
    lease.end_child_runs(job, "found gone by the next worker")
    Supervision(job, make_child, _shutting_down).run()
    return True


@worker_init.connect
def on_worker_init(**_: Any) -> None:
    """Before the pool processes are forked, which inherit the lock."""
    in_use.hold(settings.DATA_DIR, "worker")
    alive.touch_in_background(os.environ.get("FINETUNE_LANE", ""))


@worker_process_init.connect
def on_worker_process_init(**_: Any) -> None:
    """In each pool process: die with the worker, handle its shutdown signal, keep a warm child."""
    parent_death.die_with_parent(os.getppid())
    signal.signal(signal.SIGUSR2, lambda *_args: _shutting_down.set())
    if os.environ.get("FINETUNE_LANE") == "heavy":
        worker_machines.report_in_background()
        warm_child.prepare(WARM_DELAY_SECONDS)


@worker_ready.connect
def on_worker_ready(**_: Any) -> None:
    """At start: requeue jobs whose worker died on this machine, and wake for all waiting jobs."""
    recovery.recover(recovery.HeartbeatMonitor())
    recovery.send_waiting(at_once=True)


@worker_shutting_down.connect
def on_worker_shutting_down(**_: Any) -> None:
    """Warm shutdown: running jobs save and return to the queue."""
    for process in psutil.Process().children():
        try:
            process.send_signal(signal.SIGUSR2)
        except psutil.Error:
            continue
