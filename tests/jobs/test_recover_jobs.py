"""Reconciling jobs with their workers."""

import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.jobs import lease, process_ids, recovery, services
from finetune_app.jobs.models import ChildRun, Job, State


class Time:
    """A clock that the test advances."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> Time:
    clock = Time()
    monkeypatch.setattr(recovery, "time", clock)
    return clock


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(services, "wake_worker", lambda job: calls.append(job.pk) or True)
    return calls


@pytest.fixture
def job(team, woken) -> Job:
    return services.create(team=team, kind="training", title="Learn", spec={})


def ended_process() -> str:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = process_ids.process_id(process.pid)
    process.communicate(b"\n")
    return name


def state_of(job: Job) -> str:
    return Job.objects.get(pk=job.pk).state


def test_a_job_of_a_dead_local_worker_is_requeued_at_once(job, time, woken):
    taken = lease.take(job.pk, worker=ended_process())
    lease.start_child_run(taken, ended_process())
    recovery.reconcile(recovery.HeartbeatMonitor())
    job.refresh_from_db()
    assert (job.state, job.token) == (State.QUEUED, taken.token + 1)
    assert "from the last checkpoint" in job.message
    assert ChildRun.objects.get(job=job).ended_at is not None
    assert woken == [job.pk]


def test_a_silent_remote_worker_loses_its_job_after_one_lease(job, time, settings):
    lease.take(job.pk, worker="elsewhere:1:1")
    monitor = recovery.HeartbeatMonitor()
    recovery.recover(monitor)
    time.now += settings.LEASE_SECONDS - 0.1
    recovery.recover(monitor)
    assert state_of(job) == State.PREPARING
    time.now += 0.2
    recovery.recover(monitor)
    assert state_of(job) == State.QUEUED


def test_heartbeats_of_a_remote_worker_keep_its_lease(job, time, settings):
    taken = lease.take(job.pk, worker="elsewhere:1:1")
    monitor = recovery.HeartbeatMonitor()
    for _ in range(5):
        recovery.recover(monitor)
        time.now += settings.LEASE_SECONDS * 0.9
        lease.renew(taken)
    assert state_of(job) == State.PREPARING


def test_a_jump_of_the_wall_clock_expires_no_lease(job, time):
    lease.take(job.pk, worker="elsewhere:1:1")
    monitor = recovery.HeartbeatMonitor()
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(days=3))
    recovery.recover(monitor)
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() + timedelta(days=3))
    recovery.recover(monitor)
    assert state_of(job) == State.PREPARING


def test_an_orphaned_child_is_killed_before_the_job_is_requeued(job, time):
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    try:
        taken = lease.take(job.pk, worker=ended_process())
        lease.start_child_run(taken, process_ids.process_id(orphan.pid))
        recovery.recover(recovery.HeartbeatMonitor())
        assert orphan.wait(5) == -9
        assert state_of(job) == State.QUEUED
    finally:
        orphan.kill()
        orphan.wait()


def test_the_clock_wakes_a_worker_once_for_each_job(team, woken):
    for lane in ("training", "import"):
        services.create(team=team, kind=lane, title="Wait", spec={})
    recovery.send_waiting()
    assert len(woken) == 2
    Job.objects.update(sent_at=timezone.now())
    recovery.send_waiting()
    assert len(woken) == 2


def test_the_clock_asks_a_broker_that_is_away_once_a_round(team, monkeypatch):
    asked: list[int] = []
    monkeypatch.setattr(services, "wake_worker", lambda job: asked.append(job.pk))
    for lane in ("training", "training", "import"):
        services.create(team=team, kind=lane, title="Wait", spec={})
    recovery.send_waiting()
    assert len(asked) == 1
