"""What changes very many rows is a job: it is watched, goes on after a death, comes back whole."""

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
from tests.datasets.conftest import conversation, pair
from tests.worker.conftest import supervise

HTMX = {"HX-Request": "true"}


@pytest.fixture
def rows(bring, no_worker, monkeypatch):
    """Sixty rows count as very many, and ten are looked at in one transaction."""
    dataset = bring(60)
    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    monkeypatch.setattr(bulk_edits, "WINDOW", 10)
    return dataset.examples


@pytest.fixture
def aside(as_owner, url, rows) -> Edit:
    """Somebody has just asked for all of them to be set aside."""
    reply = as_owner.post(url("bulk"), {"what": "set_aside", "which": "all"})
    edit = Edit.objects.get()
    assert reply["Location"] == url("edit", edit_id=edit.pk)
    return edit


def done_by_its_job(edit: Edit) -> Edit:
    """As a supervisor does."""
    edit.refresh_from_db()
    job = lease.take(edit.job.pk, worker=process_ids.process_id())
    handler_for(job).run(job)
    with transaction.atomic():
        if lease.write(job, state=State.SUCCEEDED):
            handler_for(job).finish(job, {})
    edit.refresh_from_db()
    return edit


def test_few_change_at_once_and_many_in_a_job(as_owner, url, rows, aside):
    assert rows.filter(status="set_aside").count() == 0
    assert (aside.job.kind, aside.job.state) == ("change", State.QUEUED)
    edit = done_by_its_job(aside)
    assert (edit.what, edit.changes.count(), edit.todo) == ("Set 60 examples aside", 60, {})
    assert rows.filter(status="set_aside").count() == 60
    as_owner.post(url("bulk"), {"what": "approve", "row": ["3", "7"]})
    assert Edit.objects.latest("pk").job is None
    as_owner.post(url("bulk") + "?q=saddle", {"what": "delete", "which": "all"})
    assert Edit.objects.latest("pk").job is None, "few match, however large the set is"


def test_it_is_watched_while_everything_else_goes_on(as_owner, as_viewer, url, rows, aside):
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


def test_a_second_click_finds_the_first(as_owner, url, aside):
    for _click in range(2):
        reply = as_owner.post(url("bulk"), {"what": "set_aside", "which": "all"})
        assert reply["Location"] == url("edit", edit_id=aside.pk)
    assert (Edit.objects.count(), Job.objects.filter(kind="change").count()) == (1, 1)


def test_a_worker_that_dies_is_followed_by_one_that_goes_on(rows, aside, monkeypatch):
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


def test_who_lost_the_lease_writes_nothing_more(rows, aside):
    job = lease.take(aside.job_id, worker="one")
    lease.release(Job.objects.get(pk=job.pk))
    lease.take(job.pk, worker="another")
    handler_for(job).run(job)
    assert rows.filter(status="set_aside").count() == 0


def test_stop_and_undo_takes_back_what_was_done(as_owner, url, rows, aside):
    batch_edits.run_next_step(aside)
    assert rows.filter(status="set_aside").count() == 10
    as_owner.post(url("undo", edit_id=aside.pk))
    aside.refresh_from_db()
    assert aside.job.state == State.CANCELLED
    assert aside.todo == {}
    assert rows.filter(status="approved").count() == 60, "ten rows come back at once"
    assert as_owner.post(url("edit", edit_id=aside.pk)).status_code == 409


def test_an_undo_of_many_is_a_job_too(as_owner, url, rows, aside):
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


def test_what_fails_for_good_is_taken_back(rows, aside, django_capture_on_commit_callbacks):
    batch_edits.run_next_step(aside)
    with django_capture_on_commit_callbacks(execute=True):
        jobs.cancel(aside.job)  # as one that died too often
    aside.refresh_from_db()
    assert aside.undone_at
    assert rows.filter(status="approved").count() == 60


def test_an_undo_that_came_to_nothing_can_go_on(as_owner, as_viewer, url, rows, aside):
    done_by_its_job(aside)
    as_owner.post(url("undo", edit_id=aside.pk))
    back = Edit.objects.latest("pk")
    jobs.cancel(back.job)
    assert "Stopped halfway" in as_owner.get(url("page")).content.decode()
    assert as_viewer.post(url("edit", edit_id=back.pk)).status_code == 403
    as_owner.post(url("edit", edit_id=back.pk))
    assert done_by_its_job(back).changes.count() == 60


def test_a_real_worker_does_it(rows, aside, transactional_db):
    assert supervise(aside.job).state == State.SUCCEEDED
    assert rows.filter(status="set_aside").count() == 60


# ---- What a check found ----


@pytest.fixture
def repeats(bring, dataset, no_worker, monkeypatch) -> Dataset:
    """Thirty rows that stand there twice."""
    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    return bring(rows=[{"messages": conversation(*pair(n % 30))} for n in range(60)])


def test_every_row_that_was_found_is_listed_and_changed(as_owner, url, repeats):
    page = as_owner.get(url("page") + "?finding=duplicates")
    assert (page.context["page"].total.rows, len(page.context["rows"])) == (60, 50)
    assert "Download all 60 that were found" in page.content.decode()
    rest = as_owner.get(url("page") + "?finding=duplicates&after=50&at=51&sort=longest")
    assert rest.status_code == 200
    as_owner.post(url("bulk") + "?finding=duplicates", {"what": "draft", "which": "all"})
    assert done_by_its_job(Edit.objects.get()).changes.count() == 60


def test_a_fix_of_many_is_a_job_and_can_be_undone(as_owner, url, repeats):
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


def test_texts_of_many_are_rewritten_in_parts(as_owner, url, bring, no_worker, monkeypatch):
    from finetune_app.checks import fixes

    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    monkeypatch.setattr(fixes, "REWRITE_BATCH", 7)
    said = "write to someone.else@kettle-lane.co.uk"
    dataset = bring(
        rows=[{"messages": conversation(f"{pair(n)[0]} {said}", "ok")} for n in range(30)]
    )
    brief = {"role": "system", "content": "Be brief."}
    bring(rows=[{"messages": [brief, *conversation(*pair(100 + n))]} for n in range(40)])
    as_owner.post(url("checks:fix", check_name="personal"))
    edit = done_by_its_job(Edit.objects.get())
    assert edit.changes.count() == 30
    assert not dataset.examples.filter(prompt__contains="kettle-lane").exists()
    checks.run_checks(dataset)
    as_owner.post(url("checks:fix", check_name="instructions"))
    done_by_its_job(Edit.objects.latest("pk"))
    first = {row.messages[0]["content"] for row in dataset.examples.all()}
    assert first == {"Be brief."}


def test_a_side_is_held_back_for_many(as_owner, url, bring, dataset, no_worker, monkeypatch):
    monkeypatch.setattr(batch_edits, "MAX_ROWS_IN_REQUEST", 20)
    bring(60)
    dataset.examples.update(split="train")
    checks.run_checks(dataset)
    as_owner.post(url("checks:fix", check_name="no_test"))
    done_by_its_job(Edit.objects.get())
    assert 5 < dataset.examples.filter(split="test").count() < 20


def test_what_was_found_is_downloaded(as_viewer, as_stranger, url, repeats):
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
