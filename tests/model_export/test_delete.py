"""An export goes with what it came from, files and job included."""

import pytest

from finetune_app.jobs.models import Job, State
from finetune_app.model_export.models import ModelExport
from finetune_app.training import services as trainings


@pytest.fixture
def committed(django_capture_on_commit_callbacks):
    return lambda: django_capture_on_commit_callbacks(execute=True)


def test_an_editor_deletes_the_file(as_editor, made, url, data_dir, committed):
    with committed():
        as_editor.post(url("delete", export_id=made.pk))
    assert not ModelExport.objects.exists()
    assert not (data_dir / made.folder).exists()
    assert not Job.objects.filter(pk=made.job_id).exists()


@pytest.mark.parametrize("what", ["training", "goal", "team"])
def test_it_goes_with_what_it_belongs_to(what, made, goal, data_dir, committed):
    with committed():
        if what == "training":
            trainings.delete(training=made.training)
        else:
            (goal if what == "goal" else goal.team).delete()
    assert not ModelExport.objects.exists()
    assert not (data_dir / made.folder).exists()
    assert not Job.objects.filter(pk=made.job_id).exists()


def test_stop_while_it_waits(as_editor, export, url):
    as_editor.post(url("stop", export_id=export.pk))
    export.job.refresh_from_db()
    assert export.job.state == State.STOPPED
    assert "begins again" in as_editor.get(url()).content.decode()


def test_a_viewer_and_a_stranger_do_neither(as_viewer, as_stranger, made, url):
    for name in ("stop", "delete"):
        assert as_viewer.post(url(name, export_id=made.pk)).status_code == 403
        assert as_stranger.post(url(name, export_id=made.pk)).status_code == 404
    assert as_viewer.get(url("delete", export_id=made.pk)).status_code == 405
    assert ModelExport.objects.exists()
