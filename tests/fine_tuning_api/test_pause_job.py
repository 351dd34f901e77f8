"""POST …/pause, /resume and /cancel, through OpenAI's own client."""

import openai
import pytest

from finetune_app.jobs.models import State
from tests.fine_tuning_api.uploads import training_of, upload
from tests.journey import set_state

ACTIONS = ("pause", "resume", "cancel")


@pytest.fixture
def job(client):
    return client.fine_tuning.jobs.create(model="starter", training_file=upload(client).id)


def test_a_waiting_job_is_paused_resumed_and_cancelled(job, client):
    assert client.fine_tuning.jobs.pause(job.id).status == "paused"
    paused = client.fine_tuning.jobs.retrieve(job.id)
    assert (paused.finished_at, paused.trained_tokens, paused.error) == (None, None, None)
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"
    cancelled = client.fine_tuning.jobs.cancel(job.id)
    assert cancelled.status == "cancelled"
    assert cancelled.finished_at >= cancelled.created_at


def test_a_running_job_pauses_once_it_has_saved_what_it_learned(job, client):
    running = training_of(job).job
    set_state(running, State.RUNNING)
    for _twice in range(2):
        assert client.fine_tuning.jobs.pause(job.id).status == "running"
    running.refresh_from_db()
    assert (running.state, running.stop_asked) == (State.STOPPING, True)
    set_state(running, State.STOPPED)
    assert client.fine_tuning.jobs.retrieve(job.id).status == "paused"
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"


def test_a_running_job_is_told_to_end(job, client):
    running = training_of(job).job
    set_state(running, State.RUNNING)
    client.fine_tuning.jobs.cancel(job.id)
    running.refresh_from_db()
    assert running.cancel_asked


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("state", [State.SUCCEEDED, State.CANCELLED])
def test_a_job_that_has_ended_stays_as_it_is(job, client, action, state):
    set_state(training_of(job).job, state)
    with pytest.raises(openai.ConflictError) as refused:
        getattr(client.fine_tuning.jobs, action)(job.id)
    assert refused.value.response.headers["x-should-retry"] == "false"
    assert client.fine_tuning.jobs.retrieve(job.id).status == state


def test_a_failed_job_goes_on_from_its_last_checkpoint(job, client):
    set_state(training_of(job).job, State.FAILED, message="The disk is full.")
    assert client.fine_tuning.jobs.resume(job.id).status == "queued"


@pytest.mark.parametrize("action", ACTIONS)
def test_a_job_whose_file_was_invalid_has_nothing_to_go_on_with(client, action):
    job = client.fine_tuning.jobs.create(
        model="starter", training_file=upload(client, b"nonsense\n").id
    )
    with pytest.raises(openai.ConflictError):
        getattr(client.fine_tuning.jobs, action)(job.id)


def test_a_job_that_waits_cannot_be_resumed(job, client):
    with pytest.raises(openai.ConflictError):
        client.fine_tuning.jobs.resume(job.id)


@pytest.mark.parametrize("action", ACTIONS)
def test_another_team_finds_no_job(job, client_of, stranger, action):
    with pytest.raises(openai.NotFoundError):
        getattr(client_of(stranger).fine_tuning.jobs, action)(job.id)
    assert training_of(job).job.state == State.QUEUED
