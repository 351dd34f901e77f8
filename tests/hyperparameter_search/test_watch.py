"""Watching, stopping and continuing a search."""

from pathlib import Path

import pytest

from finetune_app.jobs import lease, services
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import State
from finetune_app.training import services as trainings
from tests import journey
from tests.hyperparameter_search.conftest import finish, reach


def live(client, url, seen: str) -> str:
    headers = {"HX-Request": "true", "HX-Target": "live"}
    return client.get(f"{url('detail', 1)}?seen={seen}", headers=headers).content.decode()


def test_the_table_grows_while_it_runs(as_viewer, waiting, url):
    journey.set_state(waiting.job, State.RUNNING, done=20, total=183)
    reach(waiting, 0, 0, 0.4)
    reach(waiting, 0, 0, 0.45)  # told again by a child that went on
    part = live(as_viewer, url, seen="running")
    assert 'hx-trigger="every 2s"' in part
    assert "45 %" in part
    assert "40 %" not in part
    assert 'id="actions"' not in part


def test_a_trial_that_could_not_run_says_so(as_viewer, waiting, url):
    journey.set_state(waiting.job, State.RUNNING, done=20, total=183)
    reach(waiting, 0, 0, 0.4)
    reach(waiting, 1, 0, score=None, loss=None)
    part = live(as_viewer, url, seen="running")
    assert part.count("could not run") == 1


def test_when_it_is_done_the_poll_ends_and_the_finding_is_said(as_editor, waiting, url):
    finish(waiting, winner=1)
    part = live(as_editor, url, seen="running")
    assert "hx-trigger" not in part
    text = " ".join(part.split())
    assert "“Learning rate doubled” did better than the automatic settings" in text
    assert "75 % instead of 50 %" in text
    assert "the sealed prompts decide" in text


def test_it_says_when_nothing_was_better(as_editor, waiting, url):
    finish(waiting, winner=0)
    page = " ".join(as_editor.get(url("detail", 1)).content.decode().split())
    assert "Keep the automatic settings" in page


def test_it_stops_and_goes_on(as_editor, waiting, url):
    journey.set_state(waiting.job, State.RUNNING)
    as_editor.post(url("stop", 1))
    waiting.job.refresh_from_db()
    assert (waiting.job.state, waiting.job.stop_asked) == (State.STOPPING, True)
    journey.end(waiting.job, stopped=True, winner=None)
    waiting.refresh_from_db()
    assert waiting.winner is None
    assert url("continue", 1) in as_editor.get(url("detail", 1)).content.decode()
    as_editor.post(url("continue", 1))
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.QUEUED


def test_the_copy_of_the_rows_goes_when_it_ends_or_stops(waiting):
    rows = Path(handler_for(waiting.job).child_spec(waiting.job).spec["training"]["version"])
    assert rows.exists()
    journey.end(waiting.job, stopped=True, winner=None)
    assert not rows.exists()
    assert Path(
        handler_for(waiting.job).child_spec(waiting.job).spec["training"]["version"]
    ).exists()


@pytest.mark.parametrize("stopped", [True, False])
def test_it_goes_where_the_child_ended_without_a_result(waiting, stopped):
    """Killed, because its trial took longer to stop than it may."""
    job = lease.take(waiting.job.pk, worker="here:1:now")
    rows = Path(handler_for(job).child_spec(job).spec["training"]["version"])
    if stopped:
        services.ask_stop(job)
    assert lease.release(job) == (State.STOPPED if stopped else State.QUEUED)
    assert not rows.exists()


def test_it_does_not_go_on_beside_a_training(as_editor, waiting, owner, url):
    journey.end(waiting.job, stopped=True, winner=None)
    assert as_editor.post(url("continue", 1)).status_code == 302
    as_editor.post(url("stop", 1))
    trainings.start(goal=waiting.goal, user=owner)
    assert as_editor.post(url("continue", 1)).status_code == 400


def test_only_editors_of_the_team_stop_and_continue(as_viewer, as_stranger, as_owner, waiting, url):
    for name in ("stop", "continue", "train"):
        assert as_viewer.post(url(name, 1)).status_code == 403
        assert as_stranger.post(url(name, 1)).status_code == 404
        assert as_owner.get(url(name, 1)).status_code == 405
        assert as_owner.post(url(name, 2)).status_code == 404
    assert as_stranger.get(url("detail", 1)).status_code == 404
    assert url("stop", 1) not in as_viewer.get(url("detail", 1)).content.decode()


def test_the_rail_stays_at_the_training(as_editor, waiting, url):
    page = as_editor.get(url("detail", 1))
    steps = page.context["rail"]
    assert [one.number for one in steps if one.state == "now"] == [4]


def test_a_deleted_goal_takes_its_searches_along(
    waiting, data_dir, django_capture_on_commit_callbacks
):
    folder = journey.write(f"{waiting.folder}/rows.jsonl", "").parent
    with django_capture_on_commit_callbacks(execute=True):
        waiting.goal.delete()
    assert not folder.exists()
