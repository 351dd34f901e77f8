"""Hands heavy jobs over to the cluster in our own fair order, and follows them there.

What runs there is our own worker: it takes the job's lease, so a cluster job that came twice, or
too late, finds nothing to do. All of this may stop at any point and run in several clocks: a row
with the name of the cluster job is written first, and the name is asked for before it is sent
again.
"""

import logging
import threading
import time
import uuid
from contextvars import copy_context
from datetime import timedelta

from django.conf import settings
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.jobs.clusters.base import Cluster, ClusterState, Refused, Unavailable
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import ClusterJob, ClusterJobQuerySet, Job, State
from finetune_app.jobs.queue import waiting_order, waits_for_hours
from finetune_app.jobs.worker_machines import some_report

log = logging.getLogger(__name__)

ROUND_SECONDS = 10.0  # a cluster's controller has others to serve
LOST_ANSWER = timedelta(seconds=60)  # then what the cluster does not know is sent again
MAX_TRIES = 5  # of a job that ends there without having been taken
FIRST_PAUSE = timedelta(seconds=15)  # after the first of them; four times as long after each other
REPORT_AGAIN = timedelta(days=1)


def run_in_background(cluster: Cluster) -> None:
    """For as long as this process lives. Recovery does not wait for a cluster that is slow."""
    threading.Thread(target=copy_context().run, args=(_run_forever, cluster), daemon=True).start()


def _run_forever(cluster: Cluster) -> None:
    while True:
        try:
            run_round(cluster)
        except Unavailable as error:
            log.warning("%s does not answer: %s", cluster.title, error)
        except DatabaseError as error:
            log.warning("the database does not answer: %s", error)
        except Exception:
            log.exception("jobs could not be handed over to %s", cluster.title)
        finally:
            connection.close()
        time.sleep(ROUND_SECONDS)


def run_round(cluster: Cluster) -> None:
    """Follow what was handed over, then hand over what waits. Raises Unavailable."""
    follow(cluster)
    if not some_report():
        _ask_for_a_report(cluster)
    hand_over(cluster)


def follow(cluster: Cluster) -> None:
    # The rows first: what they say was submitted is in the cluster's answer, if it is still there.
    rows = list(ClusterJob.objects.live().select_related("job"))
    states = cluster.states([row.name for row in rows]) if rows else {}
    for row in rows:
        try:
            _follow(cluster, row, states.get(row.name))
        except Unavailable as error:  # one that cannot be cancelled must not hold up the others
            log.warning("%s: %s does not answer: %s", row.name, cluster.title, error)


def _follow(cluster: Cluster, row: ClusterJob, state: ClusterState | None) -> None:
    if row.submitted_at is None and state is None:
        _send_again_if_lost(cluster, row)
        return
    if row.submitted_at is None and state is not None:
        _note_submitted(row, state.cluster_id)
    if state is None:
        _end(row, f"{cluster.title} does not know it any more")
    elif state.has_ended:
        _end(row, state.reason)
    elif not _is_wanted(row):
        cluster.cancel(row.name)
        _end(row, "it was not needed any more")
    elif state.reason != row.reason:
        _live(row).update(reason=state.reason)


def _is_wanted(row: ClusterJob) -> bool:
    """Whether its run may still do something: take the lease, or end what it took."""
    if row.job is None:
        return row.only_reports
    waits, was_taken = row.job.state == State.QUEUED, row.job.token != row.token
    if waits and not was_taken:
        return not waits_for_hours(row.job)
    # Taken, it ends by itself; but where its lease was lost, the job waits again.
    return was_taken and not waits


def _send_again_if_lost(cluster: Cluster, row: ClusterJob) -> None:
    """Of several clocks one sends it. It ends where nobody wants it any more."""
    now = timezone.now()
    lost = _live(row).filter(submitted_at=None, sent_at__lt=now - LOST_ANSWER)
    if not _is_wanted(row):
        lost.update(ended_at=now, reason="it was not needed any more")
    elif lost.update(sent_at=now):
        _submit(cluster, row)


def hand_over(cluster: Cluster) -> None:
    """As many as CLUSTER_JOBS_AT_ONCE allows; the others wait here, where teams take turns."""
    handed_over = ClusterJob.objects.live().filter(only_reports=False).values_list("job", flat=True)
    there = list(handed_over)
    room = settings.CLUSTER_JOBS_AT_ONCE - len(there)
    for pk in waiting_order(heavy=True):
        if room <= 0:
            return
        if pk not in there and (row := _next_row(cluster, pk)):
            if not _submit(cluster, row):
                return
            room -= 1


def _next_row(cluster: Cluster, pk: int) -> ClusterJob | None:
    """None while it pauses after a try, after its last try, and where another clock was faster."""
    job = Job.objects.filter(pk=pk, state=State.QUEUED).first()
    if job is None:
        return None
    tries = list(_tries(job))
    if len(tries) >= MAX_TRIES:
        _fail(cluster, job, tries)
        return None
    if tries and tries[-1].ended_at:
        pause = FIRST_PAUSE * 4 ** (len(tries) - 1)
        if timezone.now() < tries[-1].ended_at + pause:
            return None
    return _create_row(job, f"finetune-{pk}-{uuid.uuid4().hex[:8]}")


def _create_row(job: Job | None, name: str) -> ClusterJob | None:
    """None where another clock was faster."""
    try:
        with transaction.atomic():
            return ClusterJob.objects.create(
                job=job, token=job.token if job else 0, only_reports=job is None, name=name
            )
    except IntegrityError:
        return None


def _tries(job: Job) -> ClusterJobQuerySet:
    """Since the job was last queued: those that ended without having taken it."""
    here = ClusterJob.objects.filter(job=job, token=job.token, created_at__gte=job.queued_at)
    return here.exclude(ended_at=None).order_by("ended_at")


def turn_away_without_card(pk: int, node: str) -> bool:
    """On a node without a graphics card: leave a job that needs one, which counts as a try."""
    rows = ClusterJob.objects.live().filter(job=pk, job__needs_card=True)
    reason = f"{node} has no graphics card: ask for one in CLUSTER_OPTIONS"
    return bool(rows.update(ended_at=timezone.now(), reason=reason))


def _submit(cluster: Cluster, row: ClusterJob) -> bool:
    """False where the cluster does not take it. While others of ours are there it may only be full:
    then this was no try."""
    arguments = ["--only-report"] if row.only_reports else [str(row.job_id)]
    try:
        _note_submitted(row, cluster.submit(row.name, arguments))
    except Refused as refused:
        log.warning("%s: %s does not take it: %s", row.name, cluster.title, refused)
        if ClusterJob.objects.live().filter(only_reports=False).exclude(pk=row.pk).exists():
            _live(row).delete()
        else:
            _end(row, str(refused))
        return False
    return True


def _note_submitted(row: ClusterJob, cluster_id: str) -> None:
    log.info("%s: handed over as %s", row.name, cluster_id)
    _live(row).update(cluster_id=cluster_id[:63], submitted_at=timezone.now())


def _end(row: ClusterJob, reason: str) -> None:
    log.info("%s: ended: %s", row.name, reason)
    _live(row).update(ended_at=timezone.now(), reason=reason)


def _live(row: ClusterJob) -> ClusterJobQuerySet:
    return ClusterJob.objects.live().filter(pk=row.pk)


def _fail(cluster: Cluster, job: Job, tries: list[ClusterJob]) -> None:
    message = _(
        "The cluster did not start this in %(n)d tries. The details say why, for whoever looks "
        "after the cluster. Then press Continue."
    ) % {"n": len(tries)}
    with transaction.atomic():
        failed = Job.objects.filter(pk=job.pk, token=job.token, state=State.QUEUED).update(
            state=State.FAILED,
            error_code="cluster",
            message=message,
            detail="\n".join(f"{cluster.title}: {one}: {one.reason}" for one in tries),
            ended_at=timezone.now(),
        )
        if failed:
            handler_for(job).fail(Job.objects.get(pk=job.pk))


def _ask_for_a_report(cluster: Cluster) -> None:
    """So that what fits is judged by a machine of the cluster before the first training."""
    since = timezone.now() - REPORT_AGAIN
    if ClusterJob.objects.filter(only_reports=True, created_at__gt=since).exists():
        return
    if row := _create_row(None, f"finetune-report-{uuid.uuid4().hex[:8]}"):
        _submit(cluster, row)
