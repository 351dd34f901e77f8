"""Stopping, continuing and cancelling jobs in each state."""

import pytest

from finetune_app.jobs import lease, queue, services
from finetune_app.jobs.models import Job, State


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    calls: list[int] = []
    monkeypatch.setattr(services, "wake_worker", lambda job: calls.append(job.pk))
    return calls


@pytest.fixture
def ended(monkeypatch) -> list[int]:
    """Jobs whose handler's `fail` was called."""
    calls: list[int] = []

    class Handler:
        @staticmethod
        def fail(job):
            calls.append(job.pk)

    monkeypatch.setattr(services, "handler_for", lambda job: Handler)
    return calls


def new(team, kind="training", **fields) -> Job:
    job = services.create(team=team, kind=kind, title="Learn", spec={})
    Job.objects.filter(pk=job.pk).update(**fields)
    return Job.objects.get(pk=job.pk)


def state_of(job) -> str:
    return Job.objects.get(pk=job.pk).state


def test_a_worker_is_woken_only_when_the_transaction_commits(
    team, woken, django_capture_on_commit_callbacks
):
    with django_capture_on_commit_callbacks(execute=True):
        job = services.create(team=team, kind="training", title="Learn", spec={"steps": 3})
        assert woken == []
    assert woken == [job.pk]
    assert (job.state, job.spec) == (State.QUEUED, {"steps": 3})


def test_a_job_stays_queued_while_the_broker_is_down(team, settings, tmp_path):
    job = new(team)
    services.app.conf.broker_url = f"redis+socket://{tmp_path}/nobody.sock"
    try:
        assert services.wake_worker(job) is False
    finally:
        services.app.conf.broker_url = settings.CELERY_BROKER_URL
    job.refresh_from_db()
    assert (job.state, job.sent_at) == (State.QUEUED, None)


def test_a_waiting_job_stops_at_once(team, woken):
    job = new(team)
    assert services.ask_stop(job)
    assert state_of(job) == State.STOPPED


def test_stop_of_a_running_job_sets_a_flag(team, woken):
    job = new(team, state=State.RUNNING)
    assert services.ask_stop(job)
    job.refresh_from_db()
    assert (job.state, job.stop_asked) == (State.STOPPING, True)
    assert not services.ask_stop(job), "asking twice changes nothing"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_job_cannot_be_stopped(team, woken, state):
    job = new(team, state=state)
    assert not services.ask_stop(job)
    assert state_of(job) == state


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED])
def test_continue_requeues_at_the_end_with_no_attempts_used(
    team, woken, state, django_capture_on_commit_callbacks
):
    job = new(team, state=state, attempts=5, stop_asked=True, error_code="died", detail="x")
    other = new(team)
    woken.clear()
    with django_capture_on_commit_callbacks(execute=True):
        assert services.ask_continue(job)
    job.refresh_from_db()
    assert (job.state, job.attempts, job.stop_asked) == (State.QUEUED, 0, False)
    assert (job.error_code, job.detail, job.message) == ("", "", "")
    assert woken == [job.pk]
    assert queue.queue_place(job) == queue.queue_place(other) + 1


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.SUCCEEDED, State.CANCELLED])
def test_only_stopped_and_failed_jobs_can_continue(team, woken, state):
    job = new(team, state=state)
    assert not services.ask_continue(job)
    assert state_of(job) == state


def test_cancel_ends_a_waiting_job_and_calls_its_handler(team, woken, ended):
    job = new(team)
    assert services.cancel(job)
    assert state_of(job) == State.CANCELLED
    assert ended == [job.pk]


def test_cancel_of_a_running_job_sets_a_flag(team, woken, ended):
    job = new(team, state=State.RUNNING)
    assert services.cancel(job)
    job.refresh_from_db()
    assert (job.state, job.cancel_asked) == (State.RUNNING, True)
    assert ended == []


def test_heavy_and_light_jobs_queue_separately(team, woken):
    first, second = new(team), new(team, kind="evaluation")
    light = new(team, kind="import")
    assert [queue.queue_place(job) for job in (first, second, light)] == [1, 2, 1]
    running = lease.take_next(heavy=True, worker="here:1:1")
    assert running == first
    assert queue.queue_place(second) == 1
    assert queue.queue_place(running) == 0


def test_the_likely_start_is_unknown_without_a_measured_speed(team, woken):
    new(team, state=State.PREPARING)
    assert queue.likely_start(new(team)) is None
