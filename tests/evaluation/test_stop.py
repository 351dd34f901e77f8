"""Stopping, continuing and deleting an evaluation."""

from pathlib import Path

import pytest
from django.conf import settings

from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.models import Answer, Evaluation
from finetune_app.jobs.models import Job, State
from tests import journey


@pytest.fixture
def waiting(trained, owner):
    return journey.begun(trained, owner)


def test_an_evaluation_can_be_stopped_and_continued(as_editor, waiting, url):
    as_editor.post(url("stop", waiting.pk))
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.STOPPED
    assert url("continue", waiting.pk) in as_editor.get(url("detail", waiting.pk)).content.decode()
    as_editor.post(url("continue", waiting.pk))
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.QUEUED


def test_only_a_stopped_evaluation_can_continue(as_editor, waiting, url):
    assert as_editor.post(url("continue", waiting.pk)).status_code == 400


def test_a_failure_is_explained(as_viewer, waiting, url):
    journey.set_state(waiting.job, State.FAILED, message="The disk is full.", detail="OSError 28")
    page = as_viewer.get(url("detail", waiting.pk)).content.decode()
    assert "The disk is full." in page
    assert "OSError 28" in page


def test_deleting_removes_answers_votes_and_files(
    as_editor, tested, url, django_capture_on_commit_callbacks
):
    file = journey.write(f"evaluations/{tested.pk}/number_formats.json", "{}")
    with django_capture_on_commit_callbacks(execute=True):
        assert as_editor.post(url("delete", tested.pk))["Location"] == url("page")
    assert not Evaluation.objects.exists()
    assert not Answer.objects.exists()
    assert not file.parent.exists()
    assert not Job.objects.filter(kind="evaluation").exists()
    assert Candidate.objects.count() == 2  # candidates are kept
    assert Path(settings.DATA_DIR, tested.version.stored_name).exists()


def test_only_editors_of_the_team_can_stop_or_delete(
    as_viewer, as_stranger, as_owner, waiting, url
):
    for name in ("stop", "continue", "delete"):
        assert as_viewer.post(url(name, waiting.pk)).status_code == 403
        assert as_stranger.post(url(name, waiting.pk)).status_code == 404
        assert as_owner.get(url(name, waiting.pk)).status_code == 405
    waiting.job.refresh_from_db()
    assert waiting.job.state == State.QUEUED
