"""Only what passed its check leaves, to the team alone."""

from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job
from finetune_app.model_export.models import ModelExport
from tests import journey
from tests.model_export.conftest import PARITY


def test_a_viewer_downloads_what_passed(as_viewer, made, url):
    reply = as_viewer.get(url("file", export_id=made.pk))
    assert b"".join(reply.streaming_content) == b"all of it"
    assert reply["Content-Disposition"] == 'attachment; filename="shop-q8_0.zip"'
    assert reply["Content-Length"] == "9"


def test_the_figures_stand_beside_the_download(as_viewer, made, url, goal):
    for page in (url(), f"/goals/{goal.pk}/deployment/"):
        text = as_viewer.get(page).content.decode()
        assert "Likeliest token the same for 199 of 200" in text
        assert "0.00400 on average" in text
        assert url("file", export_id=made.pk) in text


def test_before_it_is_made_there_is_no_file(as_viewer, export, url):
    assert as_viewer.get(url("file", export_id=export.pk)).status_code == 409


def test_what_failed_its_check_has_figures_and_no_file(as_viewer, export, url):
    job = Job.objects.get(pk=export.job_id)
    figures = PARITY | {"same_tokens": 60, "passed": False}
    handler_for(job).record(job, {"event": "parity", **figures})
    journey.set_state(job, "failed", message="The exported file does not answer as the model.")
    page = as_viewer.get(url()).content.decode()
    assert "60 of 200" in page
    assert "does not answer as the model" in page
    assert "Checked</p>" not in page
    assert as_viewer.get(url("file", export_id=export.pk)).status_code == 409


def test_a_result_that_did_not_pass_is_never_kept(export):
    job = Job.objects.get(pk=export.job_id)
    handler_for(job).finish(
        job, {"file": "x.zip", "size": 1, "sha256": "", "parity": {"passed": False}}
    )
    handler_for(job).finish(job, {"stopped": True})
    assert ModelExport.objects.get().file == ""


def test_a_file_that_went_missing_is_said_plainly(as_viewer, made, url, data_dir):
    (data_dir / made.stored_name).unlink()
    reply = as_viewer.get(url("file", export_id=made.pk))
    assert reply.status_code == 409
    assert "make it again" in reply.content.decode()


def test_not_for_strangers(as_stranger, made, url):
    assert as_stranger.get(url("file", export_id=made.pk)).status_code == 404
    assert as_stranger.get(url()).status_code == 404
