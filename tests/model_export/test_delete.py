"""Stop and delete exports, with their files and jobs."""

import pytest

from finetune_app.jobs.models import Job, State
from finetune_app.model_export.models import ModelExport
from finetune_app.training import services as trainings


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)


def test_editor_deletes_export_with_file_and_job(as_editor, finished, url, data_dir, committed):
    with committed():
        as_editor.post(url("delete", export_id=finished.pk))
    assert not ModelExport.objects.exists()
    assert not (data_dir / finished.folder).exists()
    assert not Job.objects.filter(pk=finished.job_id).exists()


@pytest.mark.parametrize("parent", ["training", "goal", "team"])
def test_delete_parent_deletes_its_exports(parent, finished, goal, data_dir, committed):
    with committed():
        if parent == "training":
            trainings.delete(training=finished.training)
        else:
            (goal if parent == "goal" else goal.team).delete()
    assert not ModelExport.objects.exists()
    assert not (data_dir / finished.folder).exists()
    assert not Job.objects.filter(pk=finished.job_id).exists()


def test_stop_queued_export_stops_its_job(as_editor, export, url):
    as_editor.post(url("stop", export_id=export.pk))
    export.job.refresh_from_db()
    assert export.job.state == State.STOPPED
    assert "begins again" in as_editor.get(url()).content.decode()


def test_viewer_and_stranger_cannot_stop_or_delete(as_viewer, as_stranger, finished, url):
    for name in ("stop", "delete"):
        assert as_viewer.post(url(name, export_id=finished.pk)).status_code == 403
        assert as_stranger.post(url(name, export_id=finished.pk)).status_code == 404
    assert as_viewer.get(url("delete", export_id=finished.pk)).status_code == 405
    assert ModelExport.objects.exists()
