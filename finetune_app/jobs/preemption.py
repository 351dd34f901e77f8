"""A running job makes room for one of a team that comes first (Team.job_priority).

The clock asks it; its worker lets it save and hands it back, as when the worker itself ends. It
keeps its place in the queue and its attempts, and goes on from what it saved. Where a cluster runs
our jobs, when each runs is the cluster's to say.
"""

import logging
from datetime import timedelta

from django.conf import settings
from django.db.models import Min
from django.utils import timezone

from finetune_app.jobs.kinds import KINDS, YIELDING
from finetune_app.jobs.models import Job
from finetune_app.jobs.queue import waiting_order
from finetune_app.jobs.worker_machines import card_sizes

log = logging.getLogger(__name__)

YIELDS_EVERY = timedelta(minutes=30)  # at most, so that a job gets on between two of them


def make_room() -> None:
    """Ask one running heavy job to make room, where one of a team with a higher priority waits and
    no worker is free for it. One at a time: a worker that gets free takes the first job itself."""
    if settings.CLUSTER:
        return
    lane = Job.objects.lane(True)
    running = list(lane.leased().select_related("team"))
    asked = [job for job in running if _can_yield(job)]
    if not asked or any(job.yield_asked for job in running):
        return
    first = lane.waiting().order_by().aggregate(first=Min("team__job_priority"))["first"]
    lowest = max(job.team.job_priority for job in asked)
    if first is None or first >= lowest:
        return
    order = waiting_order(heavy=True)
    waiting = Job.objects.select_related("team").in_bulk(order)
    cards = card_sizes()
    for job in (waiting[pk] for pk in order if pk in waiting):
        needed = _needed_bytes(job, max(cards, default=0))
        able = sum(card >= needed for card in cards)
        busy = sum(one.worker_card_bytes >= needed for one in running)
        could = [one for one in asked if one.worker_card_bytes >= needed]
        if able <= busy and _ask_one(could, job):
            return


def _can_yield(job: Job) -> bool:
    """Whether it can go on from what it saves, and has not made room lately."""
    lately = job.yielded_at is not None and job.yielded_at > timezone.now() - YIELDS_EVERY
    return bool(KINDS[job.kind].progress) and not (lately or job.stop_asked or job.cancel_asked)


def _needed_bytes(job: Job, largest: int) -> int:
    """Memory of the card that a worker needs to take the job; 0: it needs none."""
    if not job.needs_card:
        return 0
    return job.card_bytes if 0 < job.card_bytes <= largest else 1


def _ask_one(running: list[Job], job: Job) -> bool:
    """Ask the job of the lowest priority that began last."""
    lower = [one for one in running if one.team.job_priority > job.team.job_priority]
    if not lower:
        return False
    last = max(lower, key=lambda one: (one.team.job_priority, one.taken_at))
    written = Job.objects.held_by(last).filter(stop_asked=False, cancel_asked=False)
    if written.update(yield_asked=True, yielded_at=timezone.now(), message=str(YIELDING)):
        log.info("job %s: makes room for job %s", last.pk, job.pk)
    return True
