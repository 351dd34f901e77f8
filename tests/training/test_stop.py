"""Stopping, and going on."""

from finetune_app.jobs.models import State
from finetune_app.training import services
from tests import journey


def test_a_queued_training_stops_at_once(as_editor, waiting, url):
    assert as_editor.post(url("stop", 1))["Location"] == url("detail", 1)
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.STOPPED


def test_a_running_training_is_asked_to_stop(as_editor, waiting, url):
    journey.set_state(waiting.job, State.RUNNING)
    as_editor.post(url("stop", 1))
    waiting.job.refresh_from_db()
    assert (waiting.job.state, waiting.job.stop_asked) == (State.STOPPING, True)
    page = as_editor.get(url("detail", 1)).content.decode()
    assert url("stop", 1) not in page  # asked once is enough


def test_stopping_an_ended_training_changes_nothing(as_editor, waiting, url):
    journey.set_state(waiting.job, State.SUCCEEDED)
    assert as_editor.post(url("stop", 1)).status_code == 302
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.SUCCEEDED


def test_a_stopped_training_resumes(as_editor, waiting, url):
    journey.end(waiting.job, stopped=True)
    page = as_editor.get(url("detail", 1)).content.decode()
    assert url("continue", 1) in page
    as_editor.post(url("continue", 1))
    waiting.job.refresh_from_db()
    assert (waiting.job.state, waiting.job.attempts) == (State.QUEUED, 0)


def test_a_failed_training_resumes(as_editor, waiting, url):
    journey.set_state(waiting.job, State.FAILED, message="Out of memory.")
    as_editor.post(url("continue", 1))
    waiting.job.refresh_from_db()
    assert (waiting.job.state, waiting.job.message) == (State.QUEUED, "")


def test_only_stopped_trainings_resume(as_editor, waiting, url):
    reply = as_editor.post(url("continue", 1))
    assert reply.status_code == 400
    assert "there is nothing to continue" in reply.content.decode()


def test_trainings_of_one_goal_never_run_together(as_editor, ready, owner, waiting, url):
    journey.end(waiting.job, stopped=True)
    services.start(goal=ready, user=owner)
    reply = as_editor.post(url("continue", 1))
    assert reply.status_code == 400
    assert "Another training of this goal is running" in reply.content.decode()
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.STOPPED


def test_only_editors_of_the_team_stop_and_resume(as_viewer, as_stranger, as_owner, waiting, url):
    for name in ("stop", "continue"):
        assert as_viewer.post(url(name, 1)).status_code == 403
        assert as_stranger.post(url(name, 1)).status_code == 404
        assert as_owner.get(url(name, 1)).status_code == 405
    page = as_viewer.get(url("detail", 1)).content.decode()
    assert url("stop", 1) not in page
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.QUEUED
