"""Runs waiting jobs in a pool process of Celery, one at a time.

A message of the broker starts this at once. A thread of the process looks into the database every
few seconds, too, so that work begins while the broker is away or a message was lost. Two looks do
no harm: the lease decides who runs a job.

The thread lives as long as its process, since the children that it starts die with it.
"""

import logging
import random
import threading
import time
from contextvars import copy_context

from django.db import DatabaseError, connection

from finetune_app.core import logs
from finetune_app.core.machine import find_graphics_card
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs.models import Job
from worker import warm_child
from worker.supervise import run_taken

log = logging.getLogger(__name__)

LOOK_SECONDS = 10.0  # on average, so that many workers do not ask at once
shutting_down = threading.Event()
_one_at_a_time = threading.Lock()


def run_waiting_jobs(*, heavy: bool) -> None:
    """Run jobs of a lane until none waits. Returns when another thread's have ended, too."""
    with _one_at_a_time:
        this_process = process_ids.process_id()
        while not shutting_down.is_set() and (
            job := lease.take_next(heavy=heavy, worker=this_process, card_bytes=_card_bytes(heavy))
        ):
            with logs.context(request=job.request_id, job=job.pk):
                make_child = warm_child.take if heavy else warm_child.new_light_child
                if not run_taken(job, make_child, shutting_down):
                    return
        if heavy and not shutting_down.is_set():
            warm_child.prepare()


def look_in_background(*, heavy: bool) -> None:
    """Look for waiting jobs for as long as this process lives."""
    run = copy_context().run
    threading.Thread(target=run, args=(_look_forever, heavy), daemon=True).start()


def hand_back() -> None:
    """Let the job that runs save and return to the queue, and wait for it."""
    shutting_down.set()
    with _one_at_a_time:
        pass


def _look_forever(heavy: bool) -> None:
    """Not even the order to end returns from here: a job that is about to save may run in a warm
    child that this thread has started."""
    while True:
        try:
            if not shutting_down.is_set() and Job.objects.lane(heavy).waiting().exists():
                run_waiting_jobs(heavy=heavy)
        except DatabaseError as error:
            log.warning("the database does not answer: %s", error)
        except Exception:
            log.exception("waiting jobs could not be run")
        finally:
            connection.close()
        time.sleep(random.uniform(0.5, 1.5) * LOOK_SECONDS)


def _card_bytes(heavy: bool) -> int:
    """Memory of this worker's card; light jobs need none."""
    card = find_graphics_card() if heavy else None
    return card.memory_bytes if card else 0
