"""Download an export: only for its team, and only if it passed the parity check."""

from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job
from finetune_app.model_export.models import ModelExport
from tests import journey
from tests.model_export.conftest import PARITY


def test_viewer_downloads_the_file(as_viewer, finished, url):
    reply = as_viewer.get(url("file", export_id=finished.pk))
    assert b"".join(reply.streaming_content) == b"the zip"
    assert reply["Content-Disposition"] == 'attachment; filename="shop-q8_0.zip"'
    assert reply["Content-Length"] == "7"


def test_pages_show_parity_beside_the_download(as_viewer, finished, url, goal):
    for page in (url(), f"/goals/{goal.pk}/deployment/"):
        text = as_viewer.get(page).content.decode()
        assert "Likeliest token the same for 199 of 200" in text
        assert "0.00400 on average" in text
        assert url("file", export_id=finished.pk) in text


def test_download_unfinished_export_is_rejected(as_viewer, export, url):
    assert as_viewer.get(url("file", export_id=export.pk)).status_code == 409


def test_download_export_that_failed_parity_is_rejected(as_viewer, export, url):
    job = Job.objects.get(pk=export.job_id)
    parity = PARITY | {"same_tokens": 60, "passed": False}
    handler_for(job).record(job, {"event": "parity", **parity})
    journey.set_state(job, "failed", message="The exported file does not answer as the model.")
    page = as_viewer.get(url()).content.decode()
    assert "60 of 200" in page
    assert "does not answer as the model" in page
    assert "Checked</p>" not in page
    assert as_viewer.get(url("file", export_id=export.pk)).status_code == 409


def test_finish_without_passing_parity_stores_no_file(export):
    job = Job.objects.get(pk=export.job_id)
    handler_for(job).finish(
        job, {"file": "x.zip", "size": 1, "sha256": "", "parity": {"passed": False}}
    )
    handler_for(job).finish(job, {"stopped": True})
    assert ModelExport.objects.get().file == ""


def test_download_missing_file_says_so(as_viewer, finished, url, data_dir):
    (data_dir / finished.stored_name).unlink()
    reply = as_viewer.get(url("file", export_id=finished.pk))
    assert reply.status_code == 409
    assert "make it again" in reply.content.decode()


def test_stranger_finds_neither_page_nor_file(as_stranger, finished, url):
    assert as_stranger.get(url("file", export_id=finished.pk)).status_code == 404
    assert as_stranger.get(url()).status_code == 404


def test_the_page_says_what_a_qlora_adapter_belongs_to(as_viewer, finished, url):
    sentence = "It belongs to a base model in 4 bits"
    assert sentence not in as_viewer.get(url()).content.decode()
    finished.training.spec["tuning"] = "qlora"
    finished.training.save()
    assert sentence in as_viewer.get(url()).content.decode()
