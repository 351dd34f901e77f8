"""Stopping, continuing and cancelling jobs in each state."""

import pytest

from finetune_app.jobs import lease, services
from finetune_app.jobs.models import Job, State


@pytest.fixture
def woken(monkeypatch) -> list[int]:
    heard: list[int] = []
    monkeypatch.setattr(services, "wake_worker", lambda job: heard.append(job.pk))
    return heard


@pytest.fixture
def ended(monkeypatch) -> list[int]:
    """Jobs whose handler's `fail` was called."""
    heard: list[int] = []

    class Room:
        @staticmethod
        def fail(job):
            heard.append(job.pk)

    monkeypatch.setattr(services, "handler_for", lambda job: Room)
    return heard


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


def test_a_broker_that_is_down_loses_nothing(team, settings, tmp_path):
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


def test_a_running_job_is_asked_and_answers_itself(team, woken):
    job = new(team, state=State.RUNNING)
    assert services.ask_stop(job)
    job.refresh_from_db()
    assert (job.state, job.stop_asked) == (State.STOPPING, True)
    assert not services.ask_stop(job), "asking twice changes nothing"


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_what_has_ended_cannot_be_stopped(team, woken, state):
    job = new(team, state=state)
    assert not services.ask_stop(job)
    assert state_of(job) == state


@pytest.mark.parametrize("state", [State.STOPPED, State.FAILED])
def test_continue_puts_it_at_the_end_of_the_queue_with_fresh_attempts(
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
    assert services.queue_place(job) == services.queue_place(other) + 1


@pytest.mark.parametrize("state", [State.QUEUED, State.RUNNING, State.SUCCEEDED, State.CANCELLED])
def test_only_what_stopped_or_failed_can_continue(team, woken, state):
    job = new(team, state=state)
    assert not services.ask_continue(job)
    assert state_of(job) == state


def test_cancel_ends_a_waiting_job_and_tells_its_room(team, woken, ended):
    job = new(team)
    assert services.cancel(job)
    assert state_of(job) == State.CANCELLED
    assert ended == [job.pk]


def test_cancel_of_a_running_job_is_a_flag_for_its_supervisor(team, woken, ended):
    job = new(team, state=State.RUNNING)
    assert services.cancel(job)
    job.refresh_from_db()
    assert (job.state, job.cancel_asked) == (State.RUNNING, True)
    assert ended == []


def test_heavy_jobs_wait_for_each_other_and_light_ones_do_not(team, woken):
    first, second = new(team), new(team, kind="evaluation")
    light = new(team, kind="import")
    assert [services.queue_place(job) for job in (first, second, light)] == [1, 2, 1]
    running = lease.take_next(heavy=True, worker="here:1:1")
    assert running == first
    assert services.queue_place(second) == 1
    assert services.queue_place(running) == 0


def test_the_likely_start_is_unknown_until_something_has_a_pace(team, woken):
    new(team, state=State.PREPARING)
    assert services.likely_start(new(team)) is None
