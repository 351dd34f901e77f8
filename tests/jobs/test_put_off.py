"""A job that has nothing to do for now waits without a worker (handlers.Later)."""

from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.jobs import lease, services
from finetune_app.jobs.handlers import JobHandler
from finetune_app.jobs.models import Job, State


@pytest.fixture
def job(team, monkeypatch) -> Job:
    """Of a kind whose work goes on elsewhere."""

    class Handler(JobHandler):
        def stops_while_waiting(self, job: Job) -> bool:
            return False

    for module in (lease, services):
        monkeypatch.setattr(module, "handler_for", lambda job: Handler())
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    return services.create(team=team, kind="training", title="Elsewhere", spec={})


def current(job: Job) -> Job:
    return Job.objects.get(pk=job.pk)


def test_it_is_taken_by_nobody_until_it_is_due(job):
    assert lease.put_off(lease.take(job.pk, worker="a:1:1"), 60, "It runs there")
    assert lease.take_next(heavy=True, worker="a:1:1") is None
    Job.objects.update(not_before=timezone.now())
    assert lease.take_next(heavy=True, worker="a:1:1") == job


def test_others_that_waited_longer_go_first(job, team):
    other = services.create(team=team, kind="training", title="Other", spec={})
    lease.put_off(lease.take(job.pk, worker="a:1:1"), 0, "It runs there")
    assert list(Job.objects.waiting()) == [other, job]


def test_a_stop_that_comes_while_it_runs_makes_it_due_at_once(job):
    taken = lease.take(job.pk, worker="a:1:1")
    services.ask_stop(job)
    lease.put_off(taken, 60, "It runs there")
    assert current(job).not_before is None


def test_once_the_stop_is_known_it_waits_again(job):
    """Else a worker would ask a platform that is slow to cancel without a pause."""
    services.ask_stop(job)
    taken = lease.take(job.pk, worker="a:1:1")
    lease.put_off(taken, 60, "Cancelling it there")
    assert current(job).not_before > timezone.now() + timedelta(seconds=50)


def test_a_stop_is_not_forgotten_when_its_worker_dies(job):
    services.ask_stop(job)
    assert lease.release(lease.take(job.pk, worker="a:1:1")) == State.QUEUED
    assert current(job).stop_asked


def test_a_lost_lease_puts_nothing_off(job):
    old = lease.take(job.pk, worker="a:1:1")
    lease.release(old)
    assert not lease.put_off(old, 60, "stale")
    assert current(job).not_before is None
