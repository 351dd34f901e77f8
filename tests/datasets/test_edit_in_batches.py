"""Edits of very many rows run in a job, which can be followed, continued and undone."""

import csv
import io

import pytest
from django.db import transaction

from finetune_app.checks import services as checks
from finetune_app.datasets.models import Dataset, Edit, Status
from finetune_app.datasets.services import batch_edits, bulk_edits
from finetune_app.jobs import lease, process_ids
from finetune_app.jobs import services as jobs
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.versions.services import freeze_blocker
from tests.example_rows import conversation, pair
from tests.worker.conftest import supervise

HTMX = {"HX-Request": "true"}


@pytest.fixture
def rows(add_examples, no_worker, monkeypatch):
    """Sixty rows count as very many, and a transaction handles ten."""
    dataset = add_examples(60)
    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    monkeypatch.setattr(bulk_edits, "WINDOW", 10)
    return dataset.examples


@pytest.fixture
def aside(as_owner, url, rows) -> Edit:
    """A bulk edit that sets all rows aside, just requested."""
    reply = as_owner.post(url("bulk"), {"what": "set_aside", "which": "all"})
    edit = Edit.objects.get()
    assert reply["Location"] == url("edit", edit_id=edit.pk)
    return edit


def done_by_its_job(edit: Edit) -> Edit:
    """Run the job as a supervisor does."""
    edit.refresh_from_db()
    job = lease.take(edit.job.pk, worker=process_ids.process_id())
    handler_for(job).run(job)
    with transaction.atomic():
        if lease.write(job, state=State.SUCCEEDED):
            handler_for(job).finish(job, {})
    edit.refresh_from_db()
    return edit


def test_few_rows_change_at_once_and_many_in_a_job(as_owner, url, rows, aside):
    assert rows.filter(status="set_aside").count() == 0
    assert (aside.job.kind, aside.job.state) == ("change", State.QUEUED)
    edit = done_by_its_job(aside)
    assert (edit.what, edit.changes.count(), edit.todo) == ("Set 60 examples aside", 60, {})
    assert rows.filter(status="set_aside").count() == 60
    as_owner.post(url("bulk"), {"what": "approve", "row": ["3", "7"]})
    assert Edit.objects.latest("pk").job is None
    as_owner.post(url("bulk") + "?q=saddle", {"what": "delete", "which": "all"})
    assert Edit.objects.latest("pk").job is None, "few match, however large the set is"


def test_progress_is_shown_and_other_pages_work(as_owner, as_viewer, url, rows, aside):
    address = url("edit", edit_id=aside.pk)
    batch_edits.run_next_step(aside)
    page = as_viewer.get(address).content.decode()
    assert "16% done" in page
    assert 'hx-trigger="every 1s"' in page
    assert "10 examples changed so far" in as_owner.get(address, headers=HTMX).content.decode()
    assert "In progress: Set many examples aside" in as_owner.get(url("page")).content.decode()
    as_owner.post(url("change", number=60), {"what": "draft"})
    assert freeze_blocker(Dataset.objects.get()).startswith("A large change has not finished yet")
    edit = done_by_its_job(aside)
    assert edit.changes.count() == 60
    assert as_owner.get(address, headers=HTMX)["HX-Refresh"] == "true"
    assert "This change has finished: 60 examples." in as_owner.get(address).content.decode()
    assert "In progress" not in as_owner.get(url("page")).content.decode()


def test_second_click_returns_the_first_edit(as_owner, url, aside):
    for _click in range(2):
        reply = as_owner.post(url("bulk"), {"what": "set_aside", "which": "all"})
        assert reply["Location"] == url("edit", edit_id=aside.pk)
    assert (Edit.objects.count(), Job.objects.filter(kind="change").count()) == (1, 1)


def test_next_worker_continues_a_killed_job(rows, aside, monkeypatch):
    part, parts = batch_edits.run_next_step, []

    def dies(edit, guard):
        if len(parts) == 2:
            raise SystemExit
        parts.append(edit)
        return part(edit, guard)

    monkeypatch.setattr(batch_edits, "run_next_step", dies)
    with pytest.raises(SystemExit):
        done_by_its_job(aside)
    assert rows.filter(status="set_aside").count() == 20
    monkeypatch.setattr(batch_edits, "run_next_step", part)
    lease.release(Job.objects.get(pk=aside.job_id))
    assert done_by_its_job(aside).changes.count() == 60


def test_nothing_is_written_without_the_lease(rows, aside):
    job = lease.take(aside.job_id, worker="one")
    lease.release(Job.objects.get(pk=job.pk))
    lease.take(job.pk, worker="another")
    handler_for(job).run(job)
    assert rows.filter(status="set_aside").count() == 0


def test_stop_and_undo_restores_changed_rows(as_owner, url, rows, aside):
    batch_edits.run_next_step(aside)
    assert rows.filter(status="set_aside").count() == 10
    as_owner.post(url("undo", edit_id=aside.pk))
    aside.refresh_from_db()
    assert aside.job.state == State.CANCELLED
    assert aside.todo == {}
    assert rows.filter(status="approved").count() == 60, "ten rows come back at once"
    assert as_owner.post(url("edit", edit_id=aside.pk)).status_code == 409


def test_undo_of_many_rows_is_a_job(as_owner, url, rows, aside):
    done_by_its_job(aside)
    reply = as_owner.post(url("undo", edit_id=aside.pk))
    back = Edit.objects.latest("pk")
    for _click in range(2):
        assert reply["Location"] == url("edit", edit_id=back.pk)
        reply = as_owner.post(url("undo", edit_id=aside.pk))
    assert Edit.objects.count() == 2
    assert rows.filter(status="set_aside").count() == 60
    back = done_by_its_job(back)
    assert (back.count, back.left, back.todo) == (60, 0, {})
    assert rows.filter(status="approved").count() == 60


def test_failed_edit_is_undone(rows, aside, django_capture_on_commit_callbacks):
    batch_edits.run_next_step(aside)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.cancel(aside.job)  # as if it died too often
    aside.refresh_from_db()
    assert aside.undone_at
    assert rows.filter(status="approved").count() == 60


def test_failed_undo_can_be_continued(as_owner, as_viewer, url, rows, aside):
    done_by_its_job(aside)
    as_owner.post(url("undo", edit_id=aside.pk))
    back = Edit.objects.latest("pk")
    jobs.cancel(back.job)
    assert "Stopped halfway" in as_owner.get(url("page")).content.decode()
    assert as_viewer.post(url("edit", edit_id=back.pk)).status_code == 403
    as_owner.post(url("edit", edit_id=back.pk))
    assert done_by_its_job(back).changes.count() == 60


def test_worker_runs_the_job(rows, aside, transactional_db):
    assert supervise(aside.job).state == State.SUCCEEDED
    assert rows.filter(status="set_aside").count() == 60


# ---- Rows of a finding ----


@pytest.fixture
def repeats(add_examples, dataset, no_worker, monkeypatch) -> Dataset:
    """Thirty rows, each of them twice."""
    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    return add_examples(rows=[{"messages": conversation(*pair(n % 30))} for n in range(60)])


def test_every_row_of_a_finding_is_listed_and_changed(as_owner, url, repeats):
    page = as_owner.get(url("page") + "?finding=duplicates")
    assert (page.context["page"].total.rows, len(page.context["rows"])) == (60, 50)
    assert "Download all 60 that were found" in page.content.decode()
    rest = as_owner.get(url("page") + "?finding=duplicates&after=50&at=51&sort=longest")
    assert rest.status_code == 200
    as_owner.post(url("bulk") + "?finding=duplicates", {"what": "draft", "which": "all"})
    assert done_by_its_job(Edit.objects.get()).changes.count() == 60


def test_fix_of_many_rows_is_a_job_and_can_be_undone(as_owner, url, repeats):
    for _click in range(2):
        reply = as_owner.post(url("checks:fix", check_name="duplicates"))
        edit = Edit.objects.get()
        assert reply["Location"] == url("edit", edit_id=edit.pk)
    done_by_its_job(edit)
    aside = repeats.examples.filter(status=Status.SET_ASIDE)
    assert list(aside.order_by("number").values_list("number", flat=True)) == list(range(31, 61))
    as_owner.post(url("undo", edit_id=edit.pk))
    done_by_its_job(Edit.objects.latest("pk"))
    assert aside.count() == 0


def test_texts_of_many_rows_are_rewritten_in_batches(
    as_owner, url, add_examples, no_worker, monkeypatch
):
    from finetune_app.checks import fixes

    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    monkeypatch.setattr(fixes, "REWRITE_BATCH", 7)
    said = "write to someone.else@kettle-lane.co.uk"
    dataset = add_examples(
        rows=[{"messages": conversation(f"{pair(n)[0]} {said}", "ok")} for n in range(30)]
    )
    brief = {"role": "system", "content": "Be brief."}
    add_examples(rows=[{"messages": [brief, *conversation(*pair(100 + n))]} for n in range(40)])
    as_owner.post(url("checks:fix", check_name="personal"))
    edit = done_by_its_job(Edit.objects.get())
    assert edit.changes.count() == 30
    assert not dataset.examples.filter(prompt__contains="kettle-lane").exists()
    checks.run_checks(dataset)
    as_owner.post(url("checks:fix", check_name="instructions"))
    done_by_its_job(Edit.objects.latest("pk"))
    first = {row.messages[0]["content"] for row in dataset.examples.all()}
    assert first == {"Be brief."}


def test_split_of_many_rows_is_held_back(
    as_owner, url, add_examples, dataset, no_worker, monkeypatch
):
    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    add_examples(60)
    dataset.examples.update(split="train")
    checks.run_checks(dataset)
    as_owner.post(url("checks:fix", check_name="no_test"))
    done_by_its_job(Edit.objects.get())
    assert 5 < dataset.examples.filter(split="test").count() < 20


def test_rows_of_a_finding_are_downloaded(as_viewer, as_stranger, url, repeats):
    repeats.examples.filter(number=3).update(deleted_at="2026-01-01T00:00:00Z")
    reply = as_viewer.get(url("checks:download_finding", check_name="duplicates"))
    lines = list(csv.reader(io.StringIO(b"".join(reply.streaming_content).decode("utf-8-sig"))))
    assert lines[0] == ["number", "split", "prompt", "answer"]
    assert [int(line[0]) for line in lines[1:]] == [n for n in range(1, 61) if n != 3]
    assert as_viewer.get(url("checks:download_finding", check_name="nothing")).status_code == 404
    assert (
        as_stranger.get(url("checks:download_finding", check_name="duplicates")).status_code == 404
    )
    assert (
        as_viewer.post(url("checks:download_finding", check_name="duplicates")).status_code == 405
    )
