"""Killed and frozen processes: the job goes on, and two children never work at once."""

import os
import signal
import time

import pytest

from finetune_app.jobs import process_ids, reconcile
from finetune_app.jobs.models import ChildRun, Job, State
from tests.worker.conftest import (
    LEASE,
    assert_one_at_a_time,
    child_of,
    freeze,
    meanwhile,
    steps_of,
    supervise,
    wait_for,
)


@pytest.fixture
def clock():
    """The clock's work, done by the test until the job waits again."""
    monitor = reconcile.HeartbeatMonitor()

    def until_waiting(job: Job) -> None:
        def look() -> bool:
            reconcile.recover(monitor)
            return Job.objects.get(pk=job.pk).state == State.QUEUED

        wait_for(look)

    return until_waiting


def test_kill_9_of_the_supervisor_takes_its_child_along_and_the_job_goes_on(
    new_job, start_supervisor, clock
):
    job = new_job(steps=40, pause=0.05)
    supervisor = start_supervisor(job)
    child = child_of(job)
    os.kill(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    wait_for(lambda: process_ids.start_time(child.pid) is None, seconds=3)
    clock(job)
    assert "going on from where it was last saved" in Job.objects.get(pk=job.pk).message
    assert supervise(job).state == State.SUCCEEDED
    assert_one_at_a_time(job)
    assert [life.how for life in ChildRun.objects.order_by("pk")] == [
        "found gone by the clock: its worker ended",
        "exit 0",
    ]


def test_a_frozen_supervisor_loses_the_job_and_its_child_ends_itself(
    new_job, start_supervisor, clock
):
    job = new_job(steps=200, pause=0.05)
    supervisor = start_supervisor(job)
    child = child_of(job)
    freeze(supervisor)
    wait_for(lambda: process_ids.start_time(child.pid) is None, seconds=LEASE)
    clock(job)
    Job.objects.filter(pk=job.pk).update(spec={"steps": 60, "pause": 0.05})
    with meanwhile(lambda: os.kill(supervisor.pid, signal.SIGCONT), after=0.5):
        job = supervise(job)
    assert job.state == State.SUCCEEDED
    supervisor.wait(10)
    assert_one_at_a_time(job)
    assert Job.objects.get(pk=job.pk).state == State.SUCCEEDED, "the old one wrote nothing"


def test_a_frozen_child_that_wakes_after_its_lease_does_no_further_step(
    new_job, start_supervisor, clock
):
    """Both are frozen; the child is told to go on when its lease is long over."""
    job = new_job(steps=400, pause=0.01)
    supervisor = start_supervisor(job)
    child = child_of(job)
    freeze(supervisor)
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(LEASE)
    before = len(steps_of(job))
    os.kill(child.pid, signal.SIGCONT)
    wait_for(lambda: process_ids.start_time(child.pid) is None, seconds=2)
    assert len(steps_of(job)) == before
    clock(job)


def test_a_frozen_child_is_killed_before_its_successor_starts(new_job, start_supervisor, clock):
    job = new_job(steps=400, pause=0.01)
    supervisor = start_supervisor(job)
    child = child_of(job)
    freeze(supervisor)
    os.kill(child.pid, signal.SIGSTOP)
    clock(job)
    assert process_ids.start_time(child.pid) is None
    Job.objects.filter(pk=job.pk).update(spec={"steps": len(steps_of(job)) + 3, "pause": 0.01})
    assert supervise(job).state == State.SUCCEEDED
    assert_one_at_a_time(job)


def test_many_workers_and_one_job_make_one_child(new_job, start_supervisor):
    job = new_job(steps=10, pause=0.05)
    workers = [start_supervisor(job) for _ in range(4)]
    for worker in workers:
        assert worker.wait(30) == 0
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
    assert ChildRun.objects.filter(job=job).count() == 1
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 11))
