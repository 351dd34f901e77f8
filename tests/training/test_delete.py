"""Deleting a training: its curve, files, candidates and tests go; the goal stays."""

from pathlib import Path

import pytest
from django.conf import settings

from finetune_app.candidates.models import Candidate
from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs.models import Job, State
from finetune_app.training.models import Training
from tests import journey


def test_deleting_removes_files_and_evaluations(
    as_editor, ready, owner, url, django_capture_on_commit_callbacks
):
    training = journey.trained(ready, owner)
    journey.evaluated(training, owner)
    journey.write(f"{training.folder}/checkpoints/step-000030/state.pt", "state")
    with django_capture_on_commit_callbacks(execute=True):
        reply = as_editor.post(url("delete", 1))
    assert reply["Location"] == url("page")
    assert not (Path(settings.DATA_DIR) / training.folder).exists()
    assert not Evaluation.objects.exists()
    assert list(Candidate.objects.values_list("kind", flat=True)) == ["base"]
    assert not Job.objects.exists()
    assert ready.dataset.versions.exists()


def test_deleting_a_running_training_ends_its_child(
    as_editor, waiting, url, django_capture_on_commit_callbacks
):
    journey.set_state(waiting.job, State.RUNNING)
    with django_capture_on_commit_callbacks(execute=True):
        as_editor.post(url("delete", 1))
    assert not Job.objects.exists()


def test_numbers_are_not_reused(as_editor, ready, owner, url):
    journey.trained(ready, owner)
    journey.trained(ready, owner)
    as_editor.post(url("delete", 1))
    as_editor.post(url("delete", 2))
    as_editor.post(url("start"))
    assert set(Training.objects.values_list("number", flat=True)) == {3}


@pytest.mark.usefixtures("waiting")
def test_only_editors_of_the_team_delete(as_viewer, as_stranger, as_owner, url):
    assert as_viewer.post(url("delete", 1)).status_code == 403
    assert as_stranger.post(url("delete", 1)).status_code == 404
    assert as_owner.get(url("delete", 1)).status_code == 405
    assert Training.objects.count() == 1
