"""Creates, stops, continues and cancels jobs. Every change of state is a compare-and-set."""

import logging
import math
from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.celery import app
from finetune_app.core.files import delete_folder
from finetune_app.core.logs import request_id
from finetune_app.jobs import team_hours
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.kinds import KINDS, validate_kind
from finetune_app.jobs.models import CAN_CONTINUE, LEASED, Job, State
from finetune_app.jobs.worker_machines import some_have_a_card

log = logging.getLogger(__name__)

WAKE_UP_EXPIRES_SECONDS = 120  # by then workers have looked themselves
# One attempt of two seconds: pages do not wait for a broker that is down.
NO_RETRIES = {"max_retries": 1, "socket_connect_timeout": 2, "socket_timeout": 2} | {
    "interval_start": 0,
    "interval_step": 0,
    "interval_max": 0,
}


def create(
    *,
    team: Team,
    kind: str,
    title: str,
    spec: Mapping[str, Any],
    needs_card: bool = False,
    card_bytes: float = 0,
) -> Job:
    """Create a job at the end of its team's queue; a worker is woken when the transaction commits.

    needs_card: only a worker with a graphics card takes it. card_bytes: with so much memory, if
    one has it; 0: not known.

    Raises ValidationError when no room has registered the kind.
    """
    validate_kind(kind)
    job = Job.objects.create(
        team=team,
        kind=kind,
        title=title[:120],
        spec=spec,
        needs_card=needs_card,
        card_bytes=math.ceil(card_bytes),
        request_id=request_id.get(),
    )
    log.info("job %s: queued (%s)", job.pk, kind)
    transaction.on_commit(lambda: wake_worker(job))
    return job


def wake_worker(job: Job) -> bool:
    """Send a wake-up to the workers. The queue is in the database, so lost and repeated messages
    are harmless, and a broker that is down is only logged. Heavy jobs of a cluster need none."""
    if job.is_heavy and settings.CLUSTER:
        return False
    name = "worker.run_heavy" if job.is_heavy else "worker.run_light"
    try:
        with app.connection_for_write(transport_options=NO_RETRIES) as broker:
            app.send_task(
                name, [job.pk], expires=WAKE_UP_EXPIRES_SECONDS, retry=False, connection=broker
            )
    except Exception as error:  # any exception of the broker's client
        log.warning("no worker could be woken for job %s: %s", job.pk, error)
        return False
    Job.objects.filter(pk=job.pk, state=State.QUEUED).update(sent_at=timezone.now())
    return True


def ask_stop(job: Job) -> bool:
    """Stop at the next step and keep the result so far; a waiting job stops at once."""
    # Locked, so that no worker takes the job, or puts it back, between these updates.
    with transaction.atomic():
        Job.objects.select_for_update().filter(pk=job.pk).first()
        queued = Job.objects.filter(pk=job.pk, state=State.QUEUED)
        if handler_for(job).stops_while_waiting(job):
            waiting = queued.update(
                state=State.STOPPED,
                ended_at=timezone.now(),
                message=_("Stopped while it was waiting."),
            )
        else:
            waiting = queued.update(stop_asked=True, not_before=None, sent_at=None)
            if waiting:
                transaction.on_commit(lambda: wake_worker(job))
        running = Job.objects.filter(pk=job.pk, state__in=LEASED, stop_asked=False).update(
            state=State.STOPPING,
            stop_asked=True,
            message=str(KINDS[job.kind].stopping),
        )
    return bool(waiting or running)


def ask_continue(job: Job) -> bool:
    """Queue again; the child continues from its last checkpoint."""
    asked = Job.objects.filter(pk=job.pk, state__in=CAN_CONTINUE).update(
        state=State.QUEUED,
        attempts=0,
        stop_asked=False,
        cancel_asked=False,
        yield_asked=False,
        moved_ahead_at=None,
        message="",
        detail="",
        error_code="",
        sent_at=None,
        ended_at=None,
        queued_at=timezone.now(),
        needs_card=job.needs_card and some_have_a_card(),
        request_id=request_id.get(),
    )
    if asked:
        log.info("job %s: queued again", job.pk)
        transaction.on_commit(lambda: wake_worker(job))
    return bool(asked)


def run_next(job: Job) -> bool:
    """Put a waiting job before its team's others. Other teams are not affected."""
    waiting = Job.objects.filter(pk=job.pk, state=State.QUEUED)
    return bool(waiting.update(moved_ahead_at=timezone.now()))


def cancel(job: Job) -> bool:
    """Cancel for good. The supervisor kills a running child within seconds."""
    with transaction.atomic():
        idle = Job.objects.filter(pk=job.pk, state__in=(State.QUEUED, *CAN_CONTINUE)).update(
            state=State.CANCELLED, ended_at=timezone.now(), message=_("Cancelled.")
        )
        if idle:
            handler_for(job).fail(Job.objects.get(pk=job.pk))
    running = Job.objects.filter(pk=job.pk, state__in=LEASED).update(cancel_asked=True)
    return bool(idle or running)


def discard(job_pk: int, *, folder: str) -> None:
    """Delete a job and its files after the transaction commits.

    A supervisor that no longer finds the job's row has lost its lease, kills its child, and deletes
    what that wrote meanwhile.
    """

    def remove() -> None:
        with transaction.atomic():
            if job := Job.objects.select_for_update().filter(pk=job_pk).first():
                team_hours.keep_time_of(job)
                job.delete()
        delete_files(job_pk, folder=folder)

    # Robust: an unavailable store must not prevent the other deletions.
    transaction.on_commit(remove, robust=True)


def delete_files(job_pk: int, *, folder: str) -> None:
    """Delete what a job and its children have written."""
    for path in (f"logs/job-{job_pk}.log", f"run/job-{job_pk}.lock"):
        (settings.DATA_DIR / path).unlink(missing_ok=True)
    delete_folder(folder)
