"""The order in which waiting jobs are taken, and where a job stands in it.

The operator's order of the teams counts first (Team.job_priority). Teams of the same priority take
turns: what a team runs counts as its turn, and of teams that run as many jobs the one whose last
turn was longest ago comes first. So nobody waits behind another team's fifty. Within a team the
oldest job comes first, but for one that somebody has moved ahead. Of a team that runs as many as it
may (TEAM_JOBS_AT_ONCE), or for as long (TEAM_HOURS_A_MONTH), none is taken.
"""

import heapq
import math
from collections import Counter, defaultdict, deque
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import F, Max, Q
from django.utils import timezone

from finetune_app.core.environment import team_jobs_at_once
from finetune_app.jobs.models import ClusterJob, Job, JobQuerySet, State
from finetune_app.jobs.team_hours import teams_without_hours
from finetune_app.jobs.worker_machines import largest_card_bytes, some_have_a_card, some_have_none

REMEMBERED = timedelta(days=7)  # a turn before that counts as none


def waiting_order(*, heavy: bool, card_bytes: int | None = None) -> list[int]:
    """Ids of the jobs of a lane that can be taken now, the next one first.

    card_bytes: memory of the graphics card of the worker that asks, 0 where it has none: it leaves
    the jobs that need a card, or a larger one that another worker has. None: of all workers.
    """
    return _order(heavy, card_bytes)[0]


def _order(heavy: bool, card_bytes: int | None) -> tuple[list[int], list[int]]:
    """The jobs that can be taken, and those whose teams run as many as they may by then, or have
    no hours left."""
    lane = Job.objects.lane(heavy)
    jobs, priority, without_hours = _waiting_jobs(_for_worker(lane.waiting(), card_bytes), heavy)
    running = _running(lane)
    most = (team_jobs_at_once() if heavy else 0) or math.inf
    turns = _last_turns(lane)
    # (priority, jobs it runs, its last turn, who came first) of each team
    teams = [(priority[t], running[t], turns.get(t, 0.0), place, t) for place, t in enumerate(jobs)]
    heapq.heapify(teams)
    found: list[int] = []
    held_back: list[int] = []
    now = timezone.now().timestamp()
    while teams:
        first, runs, _last, place, team = heapq.heappop(teams)
        (found if runs < most else held_back).append(jobs[team].popleft())
        if jobs[team]:
            taken = len(found) + len(held_back)
            heapq.heappush(teams, (first, runs + 1, now + taken, place, team))
    return found, held_back + without_hours


def _for_worker(waiting: JobQuerySet, card_bytes: int | None) -> JobQuerySet:
    """Without the jobs that a worker with such a card leaves to others."""
    if card_bytes is None:
        return waiting
    if not card_bytes:
        return waiting.filter(needs_card=False)
    elsewhere = Q(card_bytes__gt=card_bytes, card_bytes__lte=largest_card_bytes())
    return waiting.exclude(elsewhere, needs_card=True)


def _waiting_jobs(
    waiting: JobQuerySet, heavy: bool
) -> tuple[dict[int, deque[int]], dict[int, int], list[int]]:
    """The jobs of each team in its own order, the teams' priorities, and the jobs that wait for
    hours. A job that was interrupted goes on without."""
    rows = list(
        waiting.values_list(
            "pk", "team", "team__job_priority", "moved_ahead_at", "queued_at", "taken_at"
        )
    )
    used_up = teams_without_hours({row[1] for row in rows}) if heavy else set()
    jobs: dict[int, list[tuple[float, int]]] = defaultdict(list)
    without_hours: list[int] = []
    for pk, team, _priority, moved_at, queued_at, taken_at in rows:
        if team in used_up and (taken_at is None or taken_at < queued_at):
            without_hours.append(pk)
        else:
            jobs[team].append((-moved_at.timestamp() if moved_at else 0.0, pk))
    ordered = {
        team: deque(pk for _moved, pk in sorted(mine, key=lambda one: one[0]))  # is stable
        for team, mine in jobs.items()
    }
    return ordered, {row[1]: row[2] for row in rows}, without_hours


def _running(lane: JobQuerySet) -> Counter[int]:
    """How many jobs of each team run."""
    return Counter(lane.leased().order_by().values_list("team", flat=True))


def waits_for_hours(job: Job) -> bool:
    """Whether it waits for the next month, because its team has used the hours of this one."""
    interrupted = job.taken_at is not None and job.taken_at >= job.queued_at
    return job.is_heavy and not interrupted and bool(teams_without_hours({job.team_id}))


def limit_reached(job: Job) -> int:
    """How many jobs of its team run, where that is as many as may; else 0."""
    most = team_jobs_at_once() if job.is_heavy else 0
    runs = _running(Job.objects.lane(job.is_heavy))[job.team_id] if most else 0
    return runs if most and runs >= most else 0


def _last_turns(lane: JobQuerySet) -> dict[int, float]:
    """When each team's job was last taken, in seconds."""
    recent = lane.filter(taken_at__gte=timezone.now() - REMEMBERED).order_by()
    taken = recent.values_list("team").annotate(last=Max("taken_at"))
    return {team: at.timestamp() for team, at in taken}


def queue_place(job: Job) -> int:
    """Place in the queue, from 1; 0 if the job does not wait, or not yet, or in a cluster."""
    if job.state != State.QUEUED or waits_in_cluster(job):
        return 0
    # A worker without a card passes by the jobs that need one.
    behind_all = job.needs_card or not (job.is_heavy and some_have_none())
    can_be_taken, held_back = _order(job.is_heavy, None if behind_all else 0)
    order = can_be_taken + held_back
    return order.index(job.pk) + 1 if job.pk in order else 0


def waits_in_cluster(job: Job) -> ClusterJob | None:
    """As what a waiting job waits in the cluster's queue, if it is there already."""
    if not settings.CLUSTER or job.state != State.QUEUED:
        return None
    return ClusterJob.objects.live().filter(job=job, token=job.token).first()


def likely_start(job: Job) -> datetime | None:
    """Estimated start of a waiting job; None if unknown."""
    place = queue_place(job)
    if not place or limit_reached(job) or (job.needs_card and not some_have_a_card()):
        return None
    if waits_for_hours(job):
        return None
    lane = Job.objects.lane(job.is_heavy)
    running = [one.seconds_left for one in lane.leased()]
    if any(left is None for left in running):
        return None
    typical = _typical_seconds(job)
    if place > 1 and typical is None:
        return None
    wait = min((left for left in running if left is not None), default=0.0)
    rounds = (place - 1) / max(1, len(running))  # as many run at once as run now
    return timezone.now() + timedelta(seconds=wait + rounds * (typical or 0.0))


def _typical_seconds(job: Job) -> float | None:
    """Median duration of the lane's latest jobs. One that no worker took was done elsewhere."""
    taken = Job.objects.lane(job.is_heavy).filter(taken_at__isnull=False)
    done = taken.filter(state=State.SUCCEEDED, running_at__isnull=False)
    spans = done.order_by("-ended_at").values_list(F("ended_at") - F("running_at"), flat=True)[:9]
    seconds = sorted(span.total_seconds() for span in spans)
    return seconds[len(seconds) // 2] if seconds else None


def seconds_to_start(job: Job) -> float | None:
    """Estimated seconds until a waiting job starts; None if unknown."""
    at = likely_start(job)
    return max((at - timezone.now()).total_seconds(), 0.0) if at else None


def other_teams_priorities(job: Job) -> set[int]:
    """Those of the other teams whose jobs wait or run in the same lane."""
    others = Job.objects.lane(job.is_heavy).active().exclude(team=job.team_id).order_by()
    return set(others.values_list("team__job_priority", flat=True).distinct())


def can_move_ahead(job: Job | None) -> bool:
    """Whether another waiting job of its team comes before it. A page may have no job yet."""
    if job is None or job.state != State.QUEUED:
        return False
    waiting = Job.objects.lane(job.is_heavy).waiting().filter(team=job.team_id)
    jobs, _priority, _without_hours = _waiting_jobs(waiting, heavy=False)
    return job.pk in list(jobs.get(job.team_id, ()))[1:]
