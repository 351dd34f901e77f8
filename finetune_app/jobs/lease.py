"""The lease: at most one worker may run a job and write about it.

Every change is one conditional UPDATE. Taking the lease increments `token`, so the updates of a
worker that lost it match no row. `heartbeat_at` is never compared with a clock; it only has to
change (see recovery.HeartbeatMonitor).
"""

from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Coalesce
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.kinds import KINDS, YIELDING
from finetune_app.jobs.models import ChildRun, Job, State
from finetune_app.jobs.queue import waiting_order

GOT_ON_AFTER = timedelta(minutes=5)  # of running; progress is saved twice a minute


def take_next(*, heavy: bool, worker: str, card_bytes: int = 0) -> Job | None:
    """Take the lease of the next waiting job that this worker can run; None if none waits.

    card_bytes: memory of its graphics card; 0: it has none.
    """
    for pk in waiting_order(heavy=heavy, card_bytes=card_bytes):
        if job := take(pk, worker=worker, card_bytes=card_bytes):
            return job
    return None


def take(pk: int, *, worker: str, card_bytes: int = 0) -> Job | None:
    """Take the lease of one waiting job; None if another worker was faster."""
    with transaction.atomic():
        taken = Job.objects.filter(pk=pk, state=State.QUEUED).update(
            state=State.PREPARING,
            token=F("token") + 1,
            attempts=F("attempts") + 1,
            worker=worker,
            worker_card_bytes=card_bytes,
            yield_asked=False,
            heartbeat_at=timezone.now(),
            started_at=Coalesce(F("started_at"), timezone.now()),
            taken_at=timezone.now(),
            running_at=None,
            not_before=None,
            error_code="",
            detail="",
        )
        return Job.objects.get(pk=pk) if taken else None


def renew(job: Job) -> bool:
    """Renew the lease. False: it is lost, so stop the job."""
    return bool(Job.objects.held_by(job).update(heartbeat_at=timezone.now()))


def write(job: Job, **fields: Any) -> bool:
    """Update the row under the lease. False: the lease is lost, nothing was written."""
    return bool(Job.objects.held_by(job).update(**fields))


def put_off(job: Job, seconds: float, message: str) -> bool:
    """Release the lease until later. A stop that came after `job` was read makes it due at once.
    False: the lease is lost, nothing was written."""
    due = timezone.now() + timedelta(seconds=seconds)
    with transaction.atomic():
        written = write(
            job,
            state=State.QUEUED,
            token=F("token") + 1,
            attempts=0,
            not_before=due,
            queued_at=due,
            message=message,
            heartbeat_at=None,
            sent_at=None,
        )
        if written and not job.stop_asked:
            Job.objects.filter(pk=job.pk, stop_asked=True).update(not_before=None)
    return written


def start_child_run(job: Job, child: str) -> ChildRun | None:
    """Record the start of a child; None if the lease was lost meanwhile (then kill it)."""
    with transaction.atomic():
        if not write(job, child=child):
            return None
        return ChildRun.objects.create(job=job, token=job.token, worker=job.worker, child=child)


def end_child_runs(job: Job, how: str) -> None:
    """Record that all children of this lease and earlier ones are dead. Call only if certain."""
    mine = ChildRun.objects.filter(job=job.pk, token__lte=job.token, ended_at=None)
    mine.update(ended_at=timezone.now(), how=how[:200])


def release(
    job: Job, *, detail: str = "", counts: bool = True, unless_renewed: bool = False
) -> str | None:
    """Release the lease after the child ended without a result.

    Returns the new state, or None if the lease was lost. counts=False: an orderly hand-back, which
    does not use up an attempt. unless_renewed: do nothing if the lease was renewed since `job` was
    read.
    """
    with transaction.atomic():
        row = Job.objects.held_by(job).select_for_update().first()
        if row is None or (unless_renewed and row.heartbeat_at != job.heartbeat_at):
            return None
        fields = _state_after_death(row, counts)
        if detail:
            fields["detail"] = detail
        # Incrementing the token fences the previous holder. The row has been locked since it
        # was read, but the update is conditional all the same, like every other.
        fields |= {"token": F("token") + 1, "heartbeat_at": None}
        if not Job.objects.held_by(job).update(**fields):
            return None
        if fields["state"] in (State.CANCELLED, State.FAILED):
            handler_for(row).fail(Job.objects.get(pk=job.pk))
        else:
            handler_for(row).interrupt(row)
        return str(fields["state"])


def _state_after_death(job: Job, counts: bool) -> dict[str, Any]:
    """The next state of a job whose child is dead, with the message for the user."""
    now = timezone.now()
    if job.cancel_asked:
        return {"state": State.CANCELLED, "ended_at": now, "message": _("Cancelled.")}
    if job.stop_asked and handler_for(job).stops_while_waiting(job):
        message = _("Stopped. You can continue from where it was last saved.")
        return {"state": State.STOPPED, "ended_at": now, "message": message}
    attempts = 1 if _got_on(job) else job.attempts
    if counts and attempts >= settings.MAX_ATTEMPTS:
        message = _(
            "This ended unexpectedly %(count)d times, most likely because the computer ran out of "
            "memory. Close other programs or choose a smaller base model, then press Continue."
        ) % {"count": attempts}
        return {
            "state": State.FAILED,
            "ended_at": now,
            "message": message,
            "error_code": "died",
        }
    return {
        "state": State.QUEUED,
        "attempts": attempts if counts else max(attempts - 1, 0),
        "sent_at": None,
        "running_at": None,
        "message": str(YIELDING if job.yield_asked else KINDS[job.kind].interrupted),
    }


def _got_on(job: Job) -> bool:
    """Whether it has certainly saved something since it was taken, so that dying again and again
    is no loop: a long training may outlive many hosts."""
    if not (KINDS[job.kind].progress and job.running_at):
        return False
    return timezone.now() - job.running_at > GOT_ON_AFTER
