"""Killed and frozen processes: the job resumes, and two children never work at once."""

import os
import signal
import time

import pytest

from finetune_app.jobs import process_ids, recovery
from finetune_app.jobs.models import ChildRun, Job, State
from tests.worker.conftest import (
    TEST_LEASE_SECONDS,
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
    """Does the clock's work until the job is queued again."""
    monitor = recovery.HeartbeatMonitor()

    def until_queued(job: Job) -> None:
        def is_queued() -> bool:
            recovery.recover(monitor)
            return Job.objects.get(pk=job.pk).state == State.QUEUED

        wait_for(is_queued)

    return until_queued


def test_killing_the_supervisor_ends_its_child_and_resumes_the_job(
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
    assert [run.how for run in ChildRun.objects.order_by("pk")] == [
        "found gone by the clock: its worker ended",
        "exit 0",
    ]


def test_freezing_the_supervisor_ends_its_child_and_resumes_the_job(
    new_job, start_supervisor, clock
):
    job = new_job(steps=200, pause=0.05)
    supervisor = start_supervisor(job)
    child = child_of(job)
    freeze(supervisor)
    wait_for(lambda: process_ids.start_time(child.pid) is None, seconds=TEST_LEASE_SECONDS)
    clock(job)
    Job.objects.filter(pk=job.pk).update(spec={"steps": 60, "pause": 0.05})
    with meanwhile(lambda: os.kill(supervisor.pid, signal.SIGCONT), after=0.5):
        job = supervise(job)
    assert job.state == State.SUCCEEDED
    supervisor.wait(10)
    assert_one_at_a_time(job)
    assert Job.objects.get(pk=job.pk).state == State.SUCCEEDED, (
        "the resumed supervisor wrote nothing"
    )


def test_a_child_resumed_after_its_lease_does_no_further_step(new_job, start_supervisor, clock):
    """Both are frozen; the child gets SIGCONT after its lease has expired."""
    job = new_job(steps=400, pause=0.01)
    supervisor = start_supervisor(job)
    child = child_of(job)
    freeze(supervisor)
    os.kill(child.pid, signal.SIGSTOP)
    time.sleep(TEST_LEASE_SECONDS)
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


def test_concurrent_workers_start_one_child(new_job, start_supervisor):
    job = new_job(steps=10, pause=0.05)
    workers = [start_supervisor(job) for _ in range(4)]
    for worker in workers:
        assert worker.wait(30) == 0
    job.refresh_from_db()
    assert (job.state, job.attempts) == (State.SUCCEEDED, 1)
    assert ChildRun.objects.filter(job=job).count() == 1
    assert [step for step, _, _ in steps_of(job)] == list(range(1, 11))
