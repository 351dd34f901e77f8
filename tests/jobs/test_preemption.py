"""A running job makes room for one of a team that comes first."""

from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.accounts import services as accounts
from finetune_app.accounts.models import JobPriority, Team
from finetune_app.core.machine import GraphicsCard, Machine
from finetune_app.core.sizes import MEMORY_GB as GB
from finetune_app.jobs import lease, preemption, services
from finetune_app.jobs.models import Job, State, WorkerMachine
from finetune_app.jobs.preemption import make_room

pytestmark = pytest.mark.django_db
CARD = 24 * GB


@pytest.fixture
def first(db) -> Team:
    """A team whose work comes first."""
    return Team.objects.create(name="First", job_priority=JobPriority.FIRST)


@pytest.fixture
def idle(db) -> Team:
    return Team.objects.create(name="When idle", job_priority=JobPriority.WHEN_IDLE)


def worker(card_bytes: int = 0, name: str = "a") -> None:
    """It reports."""
    card = GraphicsCard("L4", card_bytes, card_bytes, name) if card_bytes else None
    machine = Machine(8, 64 * GB, 60 * GB, GB, card, "its processor")
    WorkerMachine.objects.create(
        host=f"host {name}", card=name, machine=machine.as_json(), reported_at=timezone.now()
    )


def queue(team, kind="training", **card) -> Job:
    return services.create(team=team, kind=kind, title="Learn", spec={}, **card)


def running(team, *, card_bytes: int = 0, **job) -> Job:
    taken = lease.take(queue(team, **job).pk, worker="a:1:1", card_bytes=card_bytes)
    assert taken
    return taken


def asked() -> list[int]:
    return list(Job.objects.filter(yield_asked=True).values_list("pk", flat=True))


def test_the_one_of_the_lowest_priority_that_began_last_makes_room(team, first, idle):
    for name in "abcd":
        worker(name=name)
    running(team)
    running(idle)
    last = running(idle)
    running(team)
    queue(first)
    make_room()
    assert asked() == [last.pk]
    last.refresh_from_db()
    assert last.message.startswith("Makes room for work that comes first")
    assert last.state == State.PREPARING, "its worker lets it save first"


def test_one_at_a_time(team, first):
    for name in "ab":
        worker(name=name)
    running(team)
    running(team)
    queue(first)
    queue(first)
    make_room()
    make_room()
    assert len(asked()) == 1


def test_nobody_makes_room_for_the_same_or_a_lower_priority(team, first, idle):
    worker()
    running(team)
    queue(Team.objects.create(name="Another team"))
    queue(idle)
    make_room()
    assert asked() == []


def test_nobody_makes_room_while_a_worker_is_free(team, first):
    worker(name="a")
    worker(name="b")
    running(team)
    queue(first)
    make_room()
    assert asked() == []


def test_only_what_can_go_on_makes_room(team, first):
    worker()
    running(team, kind="export")
    queue(first)
    make_room()
    assert asked() == []


def test_a_job_makes_room_once_in_a_while(team, first, monkeypatch):
    worker()
    job = running(team)
    queue(first)
    make_room()
    job.refresh_from_db()
    assert lease.release(job, counts=False) == State.QUEUED
    job = lease.take(job.pk, worker="a:1:1")  # the worker was faster with it again
    assert not job.yield_asked
    make_room()
    assert asked() == []
    later = timezone.now() + preemption.YIELDS_EVERY + timedelta(seconds=1)
    monkeypatch.setattr(timezone, "now", lambda: later)
    make_room()
    assert asked() == [job.pk]


def test_what_was_asked_to_stop_is_not_asked_to_go_on_later(team, first):
    worker()
    services.ask_stop(running(team))
    queue(first)
    make_room()
    assert asked() == []


def test_a_worker_without_a_card_makes_no_room_for_a_job_that_needs_one(team, first):
    worker(name="without")
    worker(CARD, "card")
    running(team)
    on_card = running(team, card_bytes=CARD, needs_card=True)
    running(team)
    queue(first, needs_card=True)
    make_room()
    assert asked() == [on_card.pk]


def test_nor_does_one_whose_card_is_too_small(team, first):
    worker(CARD, "small")
    worker(3 * CARD, "large")
    running(team, card_bytes=CARD, needs_card=True)
    on_large = running(first, card_bytes=3 * CARD, needs_card=True)
    queue(first, needs_card=True, card_bytes=2 * CARD)
    make_room()
    assert asked() == []
    Team.objects.filter(pk=first.pk).update(job_priority=JobPriority.NORMAL)
    queue(Team.objects.create(name="F", job_priority=JobPriority.FIRST), card_bytes=2 * CARD)
    Job.objects.filter(card_bytes=2 * CARD).update(needs_card=True)
    make_room()
    assert asked() == [on_large.pk]


def test_whoever_made_room_keeps_its_place_and_its_attempts(team, first):
    worker()
    job = running(team)
    waits = queue(first)
    make_room()
    job.refresh_from_db()
    lease.release(job, counts=False)
    back = Job.objects.get(pk=job.pk)
    assert (back.state, back.attempts, back.queued_at) == (State.QUEUED, 0, job.queued_at)
    assert back.message.startswith("Makes room for work that comes first")
    assert lease.take_next(heavy=True, worker="a:1:1") == waits
    assert lease.take_next(heavy=True, worker="a:1:1") == back


def test_a_job_held_back_by_a_limit_gets_no_room(team, first, monkeypatch):
    monkeypatch.setenv("TEAM_JOBS_AT_ONCE", "1")
    worker(name="a")
    worker(name="b")
    running(first)
    running(team)
    queue(first)
    make_room()
    assert asked() == []


def test_a_team_that_no_longer_comes_first_gets_no_room(team, first):
    worker()
    running(team)
    queue(first)
    accounts.set_job_priority(team=first, priority=JobPriority.NORMAL)
    make_room()
    assert asked() == []


def test_nobody_makes_room_where_a_cluster_runs_our_jobs(team, first, settings):
    settings.CLUSTER = "slurm"
    running(team)
    queue(first)
    make_room()
    assert asked() == []
