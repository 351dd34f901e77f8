"""Cancelling an install, or removing a stopped one, deletes its files."""

import pytest

from finetune_app.jobs.models import Job, State


@pytest.fixture
def begun(install, data_dir, django_capture_on_commit_callbacks):
    """An install with some files on disk."""
    made = install()
    folder = data_dir / made.folder / "model"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.safetensors.part").write_bytes(b"x" * 100)
    return made


@pytest.mark.parametrize("state", [State.QUEUED, State.FAILED, State.STOPPED])
def test_a_cancelled_install_and_its_files_are_deleted(
    begun, as_editor, url, data_dir, state, django_capture_on_commit_callbacks
):
    Job.objects.update(state=state)
    with django_capture_on_commit_callbacks(execute=True):
        reply = as_editor.post(url("cancel", begun.pk))
    assert (reply.status_code, reply.url) == (302, url("page"))
    assert Job.objects.get().state == State.CANCELLED
    assert not (data_dir / begun.folder).exists()
    assert "tiny" not in as_editor.get(url("page")).content.decode()


def test_a_running_install_is_ended_by_its_worker(begun, as_owner, url, data_dir):
    Job.objects.update(state=State.RUNNING)
    as_owner.post(url("cancel", begun.pk))
    assert Job.objects.get().cancel_asked
    assert (data_dir / begun.folder).exists()


def test_viewers_and_strangers_may_not(begun, as_viewer, as_stranger, as_owner, url):
    assert as_viewer.post(url("cancel", begun.pk)).status_code == 403
    assert as_stranger.post(url("cancel", begun.pk)).status_code == 404
    assert as_owner.get(url("cancel", begun.pk)).status_code == 405
    assert Job.objects.get().state == State.QUEUED


def test_another_teams_install_is_not_found_in_the_own_goal(begun, as_stranger, stranger):
    from finetune_app.goals.models import Goal

    team = stranger.memberships.get().team
    theirs = Goal.objects.create(team=team, name="Theirs", created_by=stranger)
    for action in ("cancel", "stop", "continue"):
        address = f"/goals/{theirs.pk}/base-model/install/{begun.pk}/{action}/"
        assert as_stranger.post(address).status_code == 404
    assert Job.objects.get().state == State.QUEUED
