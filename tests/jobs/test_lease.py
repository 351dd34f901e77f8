"""The lease has one holder, fenced by its token."""

import pytest
from django.utils import timezone

from finetune_app.jobs import lease, services
from finetune_app.jobs.handlers import JobHandler
from finetune_app.jobs.models import ChildRun, Job, State


@pytest.fixture
def job(team) -> Job:
    return services.create(team=team, kind="training", title="Learn", spec={})


@pytest.fixture(autouse=True)
def _handler(monkeypatch):
    class Handler(JobHandler):
        @staticmethod
        def fail(job):
            Job.objects.filter(pk=job.pk).update(title="failed")

    monkeypatch.setattr(lease, "handler_for", lambda job: Handler())


def test_take_gives_the_lease_to_one_worker(job):
    assert lease.take(job.pk, worker="a:1:1")
    assert lease.take(job.pk, worker="b:1:1") is None
    assert Job.objects.get(pk=job.pk).worker == "a:1:1"


def test_the_queue_is_first_come_first_served(job, team):
    later = services.create(team=team, kind="training", title="Later", spec={})
    taken = [lease.take_next(heavy=True, worker="a:1:1") for _ in range(3)]
    assert taken == [job, later, None]


def test_each_lease_has_a_higher_token(job):
    first = lease.take(job.pk, worker="a:1:1")
    assert lease.release(first) == State.QUEUED
    second = lease.take(job.pk, worker="b:1:1")
    assert second.token > first.token


def test_a_lost_lease_writes_nothing(job):
    old = lease.take(job.pk, worker="a:1:1")
    lease.release(old)
    new = lease.take(job.pk, worker="b:1:1")
    assert not lease.renew(old)
    assert not lease.write(old, message="stale", done=7)
    assert lease.release(old) is None
    assert lease.start_child_run(old, "a:2:2") is None
    assert lease.renew(new)
    row = Job.objects.get(pk=job.pk)
    assert (row.message, row.done, row.token) == (new.message, 0, new.token)


def test_an_old_supervisor_does_not_end_the_child_run_of_its_successor(job):
    old = lease.take(job.pk, worker="a:1:1")
    lease.release(old)
    new = lease.take(job.pk, worker="b:1:1")
    lease.start_child_run(new, "b:2:2")
    lease.end_child_runs(old, "too late")
    assert ChildRun.objects.get(child="b:2:2").ended_at is None


def test_attempts_are_bounded(job, settings):
    settings.MAX_ATTEMPTS = 3
    states = [lease.release(lease.take(job.pk, worker="a:1:1")) for _ in range(3)]
    assert states == [State.QUEUED, State.QUEUED, State.FAILED]
    job.refresh_from_db()
    assert "3 times" in job.message
    assert job.title == "failed"


def test_a_job_that_gets_on_between_its_deaths_is_not_given_up(job, settings):
    """A training of days may outlive many hosts."""
    settings.MAX_ATTEMPTS = 2
    for _ in range(5):
        taken = lease.take(job.pk, worker="a:1:1")
        lease.write(taken, running_at=timezone.now() - lease.GOT_ON_AFTER * 1.1)
        assert lease.release(taken) == State.QUEUED
    lease.release(lease.take(job.pk, worker="a:1:1"))
    job.refresh_from_db()
    assert job.state == State.FAILED


def test_an_orderly_release_does_not_count_as_an_attempt(job):
    for _ in range(10):
        assert lease.release(lease.take(job.pk, worker="a:1:1"), counts=False) == State.QUEUED


def test_nor_does_it_fail_a_job_that_has_used_all_others(job, settings):
    settings.MAX_ATTEMPTS = 3
    for _ in range(2):
        lease.release(lease.take(job.pk, worker="a:1:1"))
    assert lease.release(lease.take(job.pk, worker="a:1:1"), counts=False) == State.QUEUED
    assert lease.release(lease.take(job.pk, worker="a:1:1")) == State.FAILED


@pytest.mark.parametrize(
    ("asked", "state"), [("stop_asked", State.STOPPED), ("cancel_asked", State.CANCELLED)]
)
def test_a_child_that_dies_after_stop_or_cancel_ends_the_job_as_requested(job, asked, state):
    taken = lease.take(job.pk, worker="a:1:1")
    Job.objects.filter(pk=job.pk).update(**{asked: True})
    assert lease.release(taken) == state


def test_release_unless_renewed_keeps_a_renewed_lease(job):
    seen = lease.take(job.pk, worker="a:1:1")
    lease.renew(seen)
    assert lease.release(seen, unless_renewed=True) is None
    assert Job.objects.get(pk=job.pk).state == State.PREPARING
