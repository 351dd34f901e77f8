"""The thorough check: a job with a child process, for what is too slow in a request."""

import json
from datetime import UTC, datetime

import pytest
from django.conf import settings
from django.utils import timezone

from finetune_app.checks import jobs as check_jobs
from finetune_app.checks import row_check_cache
from finetune_app.checks import services as checks
from finetune_app.checks.models import RowCheck, Severity
from finetune_app.checks.services import start_check
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Dataset
from finetune_app.jobs import services as jobs
from finetune_app.jobs.handlers import handler_for
from finetune_app.jobs.models import Job, State
from finetune_app.versions.services import freeze, freeze_blocker
from tests.example_rows import conversation, pair
from tests.page_text import compact
from tests.worker.conftest import supervise
from worker.channel import Job as ChildJob
from worker.checks.run import run

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)
RUDE = "You are a fucking idiot and I hate you, give me my money back"


class Recorder:
    """A channel that records events, and asks to stop after some progress."""

    def __init__(self, stop_at: float = float("inf")) -> None:
        self.told: list[tuple[str, dict]] = []
        self.stop_at = stop_at

    def emit(self, event: str, **fields) -> None:
        self.told.append((event, fields))

    def stopping(self) -> bool:
        return any(fields.get("done", 0) >= self.stop_at for _event, fields in self.told)

    def check(self) -> None:
        pass


def found(dataset: Dataset) -> dict[str, str]:
    return dict(dataset.findings.values_list("check_name", "severity"))


def rows(count: int = 120) -> list[dict]:
    return [{"messages": conversation(*pair(n))} for n in range(count)]


@pytest.fixture
def large(monkeypatch) -> None:
    """Datasets of more than 100 rows count as large."""
    monkeypatch.setattr(checks, "MAX_ROWS_IN_REQUEST", 100)


def in_this_process(job: Job) -> None:
    """Run the job as a worker does, without child processes."""
    order = handler_for(job).child_spec(job)
    folder = settings.DATA_DIR / check_jobs.folder_of(job)
    result = run(ChildJob(job.kind, folder, order.spec), Recorder())
    handler_for(job).before_finish(job, result)
    handler_for(job).finish(job, result)
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)


def test_start_checks_at_once_and_queues_a_thorough_check(
    as_owner, url, add_examples, no_worker, transactional_db
):
    dataset = add_examples(
        rows=[*rows(), {"messages": conversation(RUDE, "topic: money\ndue: today")}]
    )
    assert row_check_cache.count_not_thorough(dataset) == 121
    as_owner.post(url("checks:start"))
    job = Job.objects.get(kind="check")
    reply = as_owner.post(url("checks:start"), {"from": "health"})
    assert reply["Location"] == url("checks:health")
    assert Job.objects.filter(kind="check").count() == 1
    assert "toxic" not in found(dataset)
    assert supervise(job).state == State.SUCCEEDED
    assert found(dataset)["toxic"] == Severity.WARNING
    assert row_check_cache.count_not_thorough(dataset) == 0
    assert not (settings.DATA_DIR / check_jobs.folder_of(job)).exists()


def test_edit_leaves_only_the_changed_row_without_thorough_scan(
    as_owner, url, add_examples, no_worker, django_capture_on_commit_callbacks
):
    dataset = add_examples(rows=rows())
    with django_capture_on_commit_callbacks(execute=True):
        in_this_process(start_check(dataset))
    assert row_check_cache.count_not_thorough(dataset) == 0
    row = dataset.examples.get(number=7)
    as_owner.post(
        url("example", number=7),
        {"message-0": RUDE, "message-1": row.answer, "changed_at": row.changed_at.isoformat()},
    )
    assert row_check_cache.count_not_thorough(dataset) == 1
    page = as_owner.get(url("checks:health")).content.decode()
    assert "1 example has not been checked thoroughly since it changed" in page


def test_large_dataset_is_not_checked_by_an_edit(as_owner, url, add_examples, no_worker, large):
    dataset = add_examples(rows=rows(130))
    before = dataset.checked_at
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    dataset.refresh_from_db()
    assert dataset.checked_at == before
    page = compact(as_owner.get(url("page")))
    assert "Examples changed since the last check." in page
    assert "disabled>Freeze version 1" in page
    reply = as_owner.post(url("versions:freeze"))
    assert reply.status_code == 409
    assert "First have the examples checked" in reply.content.decode()


def test_large_dataset_can_be_frozen_after_the_check_job(
    as_owner, url, add_examples, no_worker, large, django_capture_on_commit_callbacks
):
    dataset = add_examples(rows=rows(130))
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    as_owner.post(url("checks:start"))
    dataset.refresh_from_db()
    with django_capture_on_commit_callbacks(execute=True):
        in_this_process(dataset.check_job)
    dataset.refresh_from_db()
    assert not checks.is_stale(dataset)
    assert as_owner.post(url("versions:freeze")).status_code == 302


def test_job_and_immediate_check_have_the_same_findings(add_examples, no_worker, large, owner):
    twin = {"messages": conversation(pair(3)[0], "topic: other\ndue: never"), "split": "test"}
    mail = {"messages": conversation("Write to anna.berg@posteo.de please", "topic: x\ndue: y")}
    dataset = add_examples(rows=[*rows(130), *rows(4), twin, mail])
    at_once = {
        one.check_name: (one.count, one.groups, one.spans, one.message)
        for one in dataset.findings.all()
    }
    facts = Dataset.objects.get(pk=dataset.pk).facts
    in_this_process(start_check(dataset))
    by_job = {
        one.check_name: (one.count, one.groups, one.spans, one.message)
        for one in dataset.findings.all()
    }
    assert by_job == at_once
    assert {"duplicates", "contradictions", "personal", "leakage"} <= set(by_job)
    assert Dataset.objects.get(pk=dataset.pk).facts == facts


def test_change_during_the_check_leaves_it_stale(as_owner, url, add_examples, no_worker, large):
    dataset = add_examples(rows=rows(130))
    job = start_check(dataset)
    order = handler_for(job).child_spec(job)
    as_owner.post(url("change", number=7), {"what": "set_aside"})
    folder = settings.DATA_DIR / check_jobs.folder_of(job)
    result = run(ChildJob(job.kind, folder, order.spec), Recorder())
    handler_for(job).finish(job, result)
    dataset.refresh_from_db()
    assert checks.is_stale(dataset)
    assert as_owner.post(url("versions:freeze")).status_code == 409


def test_next_attempt_continues_a_killed_one(add_examples, no_worker):
    dataset = add_examples(rows=rows())
    job = start_check(dataset)
    order = handler_for(job).child_spec(job)
    folder = settings.DATA_DIR / check_jobs.folder_of(job)
    run(ChildJob(job.kind, folder, order.spec), Recorder())
    lines = (folder / "looks.jsonl").read_text().splitlines()
    (folder / "looks.jsonl").write_text("\n".join(lines[:60]) + "\n" + lines[60][:9])
    run(ChildJob(job.kind, folder, order.spec), Recorder())
    again = [json.loads(line)[0] for line in (folder / "looks.jsonl").read_text().splitlines()]
    assert len(again) == len(set(again)) == 120


def test_check_can_be_cancelled(
    as_owner,
    as_viewer,
    as_stranger,
    url,
    add_examples,
    no_worker,
    django_capture_on_commit_callbacks,
):
    dataset = add_examples(rows=rows())
    job = start_check(dataset)
    handler_for(job).child_spec(job)
    assert as_viewer.post(url("checks:stop")).status_code == 403
    assert as_stranger.post(url("checks:stop")).status_code == 404
    assert as_owner.get(url("checks:stop")).status_code == 405
    with django_capture_on_commit_callbacks(execute=True):
        as_owner.post(url("checks:stop"))
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert not (settings.DATA_DIR / check_jobs.folder_of(job)).exists()
    assert found(dataset) == found(dataset)


def test_page_shows_the_progress(as_owner, as_viewer, url, add_examples, no_worker):
    job = start_check(add_examples(rows=rows()))
    Job.objects.filter(pk=job.pk).update(
        state=State.RUNNING, done=40, total=120, unit="examples", message="Looking at each example"
    )
    asks = {"HX-Request": "true"}
    answer = as_viewer.get(url("checks:progress"), headers=asks).content.decode()
    assert "40 of 120 examples" in answer
    assert "hx-trigger" in answer
    Job.objects.filter(pk=job.pk).update(state=State.SUCCEEDED)
    answer = as_viewer.get(url("checks:progress"), headers=asks).content.decode()
    assert "hx-trigger" not in answer
    assert as_viewer.get(url("checks:progress")).status_code == 302


def test_row_files_are_deleted_with_the_goal(
    goal, add_examples, no_worker, django_capture_on_commit_callbacks
):
    dataset = add_examples(rows=rows())
    job = start_check(dataset)
    handler_for(job).child_spec(job)
    with django_capture_on_commit_callbacks(execute=True):
        goal.delete()
    assert not (settings.DATA_DIR / check_jobs.folder_of(job)).exists()
    assert not RowCheck.objects.exists()
    assert not jobs.Job.objects.filter(state=State.QUEUED).exists()


# ---- An edit whose transaction ends during a check ----


@pytest.fixture
def edit_ends_late(monkeypatch, dataset):
    """An edit that was made just before each check, and is committed once the rows were read."""
    scan, count = row_check_cache.scan_rows, check_jobs._write_rows

    def commit() -> None:
        dataset.examples.filter(number=1).update(answer="topic: late")
        Dataset.objects.filter(pk=dataset.pk).update(changed_at=made_at)

    made_at = timezone.now()

    def scan_then_commit(*args):
        scans = scan(*args)
        commit()
        return scans

    def write_then_commit(*args):
        written = count(*args)
        commit()
        return written

    monkeypatch.setattr(row_check_cache, "scan_rows", scan_then_commit)
    monkeypatch.setattr(check_jobs, "_write_rows", write_then_commit)


def test_an_edit_that_was_saved_during_a_check_is_not_frozen_unchecked(
    add_examples, owner, edit_ends_late
):
    dataset = add_examples(rows=rows())
    Dataset.objects.filter(pk=dataset.pk).update(changed_at=LONG_AGO)
    checks.run_checks(dataset)
    assert checks.is_stale(Dataset.objects.get(pk=dataset.pk))
    Dataset.objects.filter(pk=dataset.pk).update(changed_at=LONG_AGO)
    with pytest.raises(PlainError, match="Freeze again"):
        freeze(dataset=Dataset.objects.get(pk=dataset.pk), by=owner)


def test_nor_one_saved_during_a_thorough_check(add_examples, large, edit_ends_late):
    dataset = add_examples(rows=rows())
    Dataset.objects.filter(pk=dataset.pk).update(changed_at=LONG_AGO)
    in_this_process(start_check(dataset))
    dataset.refresh_from_db()
    assert checks.is_stale(dataset)
    assert "checked" in freeze_blocker(dataset)


def test_a_check_that_an_earlier_release_began_leaves_the_dataset_unchecked(add_examples):
    dataset = add_examples(rows=rows())
    made = check_jobs._reading_from_text(LONG_AGO.isoformat())
    checks.replace_findings(dataset, [], {}, made)
    assert checks.is_stale(dataset)
