"""Reconciling jobs with their workers."""

import subprocess
import sys
from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.jobs import lease, process_ids, reconcile, services
from finetune_app.jobs.models import ChildRun, Job, State


class Time:
    """A clock that the test advances."""

    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch) -> Time:
    clock = Time()
    monkeypatch.setattr(reconcile, "time", clock)
    return clock


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    heard: list[int] = []
    monkeypatch.setattr(services, "wake_worker", lambda job: heard.append(job.pk))
    return heard


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


def test_a_job_whose_worker_died_here_waits_again_at_once(job, time, woken):
    taken = lease.take(job.pk, worker=ended_process())
    lease.start_child_run(taken, ended_process())
    reconcile.reconcile(reconcile.HeartbeatMonitor())
    job.refresh_from_db()
    assert (job.state, job.token) == (State.QUEUED, taken.token + 1)
    assert "from the last checkpoint" in job.message
    assert ChildRun.objects.get(job=job).ended_at is not None
    assert woken == [job.pk]


def test_a_worker_elsewhere_has_a_whole_lease_to_be_heard(job, time, settings):
    lease.take(job.pk, worker="elsewhere:1:1")
    monitor = reconcile.HeartbeatMonitor()
    reconcile.recover(monitor)
    time.now += settings.LEASE_SECONDS - 0.1
    reconcile.recover(monitor)
    assert state_of(job) == State.PREPARING
    time.now += 0.2
    reconcile.recover(monitor)
    assert state_of(job) == State.QUEUED


def test_a_worker_that_is_heard_keeps_its_job(job, time, settings):
    taken = lease.take(job.pk, worker="elsewhere:1:1")
    monitor = reconcile.HeartbeatMonitor()
    for _ in range(5):
        reconcile.recover(monitor)
        time.now += settings.LEASE_SECONDS * 0.9
        lease.renew(taken)
    assert state_of(job) == State.PREPARING


def test_a_wall_clock_that_jumps_takes_no_lease_away(job, time):
    lease.take(job.pk, worker="elsewhere:1:1")
    monitor = reconcile.HeartbeatMonitor()
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() - timedelta(days=3))
    reconcile.recover(monitor)
    Job.objects.filter(pk=job.pk).update(heartbeat_at=timezone.now() + timedelta(days=3))
    reconcile.recover(monitor)
    assert state_of(job) == State.PREPARING


def test_the_child_that_is_left_over_is_killed_before_another_may_start(job, time):
    orphan = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True
    )
    try:
        taken = lease.take(job.pk, worker=ended_process())
        lease.start_child_run(taken, process_ids.process_id(orphan.pid))
        reconcile.recover(reconcile.HeartbeatMonitor())
        assert orphan.wait(5) == -9
        assert state_of(job) == State.QUEUED
    finally:
        orphan.kill()
        orphan.wait()


def test_a_message_that_was_lost_is_sent_again_but_not_every_time(job, time, woken):
    Job.objects.filter(pk=job.pk).update(sent_at=timezone.now())
    reconcile.send_waiting()
    assert woken == []
    Job.objects.filter(pk=job.pk).update(sent_at=timezone.now() - timedelta(seconds=11))
    reconcile.send_waiting()
    assert woken == [job.pk]


def test_while_a_worker_is_busy_the_broker_is_not_flooded(job, team, time, woken):
    lease.take_next(heavy=True, worker="elsewhere:1:1")
    waiting = services.create(team=team, kind="training", title="Next", spec={})
    Job.objects.filter(pk=waiting.pk).update(sent_at=timezone.now() - timedelta(seconds=11))
    reconcile.send_waiting()
    assert woken == []
