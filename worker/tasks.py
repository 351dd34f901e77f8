"""Celery tasks that wake the workers. The queue itself is in the database.

Each task runs waiting jobs until none is left (waiting_jobs.py). A repeated message finds nothing
to do, and a lost one is made up for by the worker's own looks.
"""

import os
import signal
from typing import Any

import psutil
from celery.signals import (
    worker_init,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutting_down,
)
from django.conf import settings

from finetune_app.celery import app
from finetune_app.core import alive, in_use, local_copies, parent_death
from finetune_app.core.shared_secrets import require_shared_secrets
from finetune_app.jobs import recovery, worker_machines
from worker import waiting_jobs, warm_child

WARM_DELAY_SECONDS = 2.0  # the first pages and the engine come first


@app.task(name="worker.run_heavy")
def run_heavy(pk: int) -> None:
    waiting_jobs.run_waiting_jobs(heavy=True)


@app.task(name="worker.run_light")
def run_light(pk: int) -> None:
    waiting_jobs.run_waiting_jobs(heavy=False)


@worker_init.connect
def on_worker_init(**_: Any) -> None:
    """Before the pool processes are forked, which inherit the lock."""
    in_use.hold(settings.DATA_DIR, "worker")
    require_shared_secrets()
    lane = os.environ.get("FINETUNE_LANE", "")
    if lane == "heavy" and settings.CLUSTER:
        raise SystemExit(
            f"CLUSTER is {settings.CLUSTER}, which runs the heavy jobs: leave this out."
        )
    alive.touch_in_background(os.environ.get("FINETUNE_PROCESS") or lane)


@worker_process_init.connect
def on_worker_process_init(**_: Any) -> None:
    """In each pool process: die with the worker, handle its shutdown signal, keep a warm child."""
    parent_death.die_with_parent(os.getppid())
    signal.signal(signal.SIGUSR2, lambda *_args: waiting_jobs.shutting_down.set())
    local_copies.tidy_in_background()
    lane = os.environ.get("FINETUNE_LANE")
    if lane == "heavy":
        worker_machines.report_in_background()
        warm_child.prepare(WARM_DELAY_SECONDS)
    if lane in ("heavy", "light"):
        waiting_jobs.look_in_background(heavy=lane == "heavy")


@worker_process_shutdown.connect
def on_worker_process_shutdown(**_: Any) -> None:
    """Celery waits for its tasks alone, not for a job that this process has found itself."""
    waiting_jobs.hand_back()


@worker_ready.connect
def on_worker_ready(**_: Any) -> None:
    """At start: requeue jobs whose worker died on this machine."""
    recovery.recover(recovery.HeartbeatMonitor())
    recovery.send_waiting()


@worker_shutting_down.connect
def on_worker_shutting_down(**_: Any) -> None:
    """Warm shutdown: running jobs save and return to the queue."""
    for process in psutil.Process().children():
        try:
            process.send_signal(signal.SIGUSR2)
        except psutil.Error:
            continue
