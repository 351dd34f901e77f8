"""Colleagues change the dataset while an import that updates or replaces it is looked at or done.

What the user has confirmed happens, or nothing: then the preview is made again.
"""

import threading
import time

import pytest
from django.db import connection, transaction

from finetune_app.datasets.models import Edit, Import, Status
from finetune_app.datasets.services import add_rows, change_many, save_example, undo
from finetune_app.datasets.services.lease_writer import LeaseWriter
from finetune_app.datasets.services.locking import lock
from finetune_app.imports import import_rows
from finetune_app.imports.services import apply_plan
from finetune_app.jobs.models import Job
from tests.example_rows import conversation
from tests.imports.conftest import finish_job
from tests.page_text import compact

APPEND, MERGE, REPLACE = Import.Mode.APPEND, Import.Mode.MERGE, Import.Mode.REPLACE
SENTENCE = "Not done yet: the dataset changed. Look again."


def row(prompt: str, answer: str) -> dict:
    return {"messages": conversation(prompt, answer)}


OLD = [row(f"Question {n}?", f"answer {n}") for n in range(4)]
NEWER = [row("Question 0?", "answer 0"), row("Question 1?", "better 1"), row("New?", "answer new")]
REPLACED = ["answer 0", "better 1", "answer new"]


@pytest.fixture
def existing(dataset):
    add_rows(dataset=dataset, by=None, rows=OLD)
    return dataset


@pytest.fixture
def colleague(existing, editor):
    return Colleague(existing, editor)


class Colleague:
    """An editor at work in the same dataset."""

    def __init__(self, dataset, user) -> None:
        self.dataset, self.user = dataset, user

    def adds(self) -> None:
        add_rows(dataset=self.dataset, by=self.user, rows=[row("A colleague's?", "kept")])

    def edits(self) -> None:
        messages = conversation("Question 3?", "edited")
        save_example(example=self._row(), by=self.user, seen=None, messages=messages)

    def labels(self) -> None:
        self._change(labels={str(self.user.pk): "billing"})

    def sets_aside(self) -> None:
        self._change(status=str(Status.SET_ASIDE))

    def trashes(self) -> None:
        self._change(deleted=True)

    def _change(self, **fields) -> None:
        change_many(
            dataset=self.dataset,
            by=self.user,
            what="Changed",
            examples=[self._row()],
            fields=lambda _example: fields,
        )

    def _row(self):
        return self.dataset.examples.get(number=4)


def answers(dataset) -> list[str]:
    return list(dataset.examples.kept().order_by("number").values_list("answer", flat=True))


def state(dataset) -> list[tuple]:
    """Every stored row, the trash too."""
    rows = dataset.examples.order_by("number")
    return [(one.number, one.answer, one.status, one.deleted_at is not None) for one in rows]


def apply(item: Import) -> Import:
    apply_plan(item=item)
    return finish_job(item, {"step": "store"})


def after_batch(monkeypatch, number: int, act) -> None:
    """`act` once, after this batch of the next import. With a plan: the first only looks whether
    the plan is current, then rows are added, changed, moved to the trash."""
    pause, batches = LeaseWriter.pause, []

    def pause_and_act(writer: LeaseWriter) -> None:
        pause(writer)
        batches.append(1)
        if len(batches) == number:
            act()

    monkeypatch.setattr(LeaseWriter, "pause", pause_and_act)


# ---- Between the preview and the confirmation ----


def test_a_row_that_a_colleague_has_added_is_not_trashed_unseen(
    existing, colleague, run_import, as_owner, url
):
    item = run_import(NEWER, mode=REPLACE)
    assert item.plan["gone"] == 2
    colleague.adds()

    as_owner.post(url("decide", import_id=item.pk), {"what": "go"})
    item.refresh_from_db()
    finish_job(item, {"step": "store"})

    assert item.step == Import.Step.PLANNED
    assert answers(existing) == ["answer 0", "answer 1", "answer 2", "answer 3", "kept"]
    assert not Edit.objects.filter(source_import=item).exists()
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert SENTENCE in page
    assert "<b>3</b>go into the trash" in page


def test_the_new_preview_is_confirmed_and_undone(existing, colleague, run_import, as_owner, url):
    item = run_import(NEWER, mode=REPLACE)
    colleague.adds()
    before = state(existing)
    apply(item)

    as_owner.post(url("decide", import_id=item.pk), {"what": "go"})
    item.refresh_from_db()
    finish_job(item, {"step": "store"})

    assert (item.step, item.message) == (Import.Step.DONE, "")
    assert answers(existing) == REPLACED
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    facts = ["1 added", "1 changed", "3 in the trash", "1 left as they were"]
    assert "".join(f"<span>{fact}</span>" for fact in facts) in page
    _back, left = undo(edit=Edit.objects.get(source_import=item), by=item.by)
    assert left == 0
    assert [one for one in state(existing) if not one[3]] == before


@pytest.mark.parametrize("mode", [MERGE, REPLACE])
@pytest.mark.parametrize("what", ["adds", "edits", "labels", "sets_aside", "trashes"])
def test_whatever_a_colleague_does_is_seen_first(existing, colleague, run_import, what, mode):
    item = run_import(NEWER, mode=mode)
    getattr(colleague, what)()
    before = state(existing)
    apply(item)
    assert (item.step, item.message) == (Import.Step.PLANNED, SENTENCE)
    assert state(existing) == before
    apply(item)
    assert item.step == Import.Step.DONE


def test_a_preview_of_an_older_release_is_made_again(existing, run_import):
    item = run_import(NEWER, mode=REPLACE)
    for name in ("changed_at", "done"):
        del item.plan[name]
    item.save()
    apply(item)
    assert item.step == Import.Step.PLANNED
    apply(item)
    assert answers(existing) == REPLACED


def test_a_worker_that_dies_after_the_new_preview_does_not_confirm_it(
    existing, colleague, run_import
):
    item = run_import(NEWER, mode=REPLACE)
    colleague.adds()
    apply(item)
    before = state(existing)
    Job.objects.filter(pk=item.job.pk).update(state="queued")
    finish_job(item, {"step": "store"})
    item.job.refresh_from_db()
    assert (item.step, item.job.state) == (Import.Step.PLANNED, "succeeded")
    assert state(existing) == before


# ---- While it is done ----


@pytest.mark.parametrize("batch", [1, 2, 3])
@pytest.mark.parametrize("what", ["adds", "edits"])
def test_a_change_between_two_batches_puts_everything_back(
    existing, colleague, run_import, monkeypatch, what, batch
):
    item = run_import(NEWER, mode=REPLACE)
    after_batch(monkeypatch, batch, getattr(colleague, what))
    apply(item)
    assert (item.step, item.message) == (Import.Step.PLANNED, SENTENCE)
    ends = {"adds": ["answer 3", "kept"], "edits": ["edited"]}
    assert answers(existing) == ["answer 0", "answer 1", "answer 2", *ends[what]]
    assert existing.examples.count() == existing.examples.kept().count()
    assert not Edit.objects.filter(source_import=item).exists()
    apply(item)
    assert answers(existing) == REPLACED


def test_putting_back_goes_on_where_a_worker_died(existing, colleague, run_import, monkeypatch):
    item = run_import(NEWER, mode=REPLACE)
    after_batch(monkeypatch, 3, colleague.adds)
    with monkeypatch.context() as dying:
        dying.setattr("finetune_app.datasets.services.undoing._undo_changes", lambda *_args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            apply(item)
    assert answers(existing)[1] == "better 1"
    Job.objects.filter(pk=item.job.pk).update(state="queued")
    finish_job(item, {"step": "store"})
    assert item.step == Import.Step.PLANNED
    assert answers(existing) == ["answer 0", "answer 1", "answer 2", "answer 3", "kept"]


def test_rows_are_appended_while_colleagues_work(existing, colleague, run_import, monkeypatch):
    monkeypatch.setattr(import_rows, "INSERT_BATCH_ROWS", 1)
    after_batch(monkeypatch, 1, colleague.adds)
    item = run_import(NEWER, mode=APPEND)
    assert item.step == Import.Step.DONE
    assert len(answers(existing)) == len(OLD) + len(NEWER) + 1


def test_the_import_waits_for_a_change_that_is_not_committed_yet(
    transactional_db, existing, colleague, run_import
):
    item = run_import(NEWER, mode=REPLACE)
    apply_plan(item=item)
    begun = threading.Event()

    def add_slowly() -> None:
        with transaction.atomic():
            lock(existing)
            begun.set()
            time.sleep(0.5)
            colleague.adds()
        connection.close()

    thread = threading.Thread(target=add_slowly)
    thread.start()
    begun.wait()
    finish_job(item, {"step": "store"})
    thread.join()
    assert item.step == Import.Step.PLANNED
    assert answers(existing)[-1] == "kept"


# ---- What happened ----


def test_the_counts_include_what_was_done_before_a_worker_died(
    existing, run_import, monkeypatch, as_owner, url
):
    """The second run finds the changed row as it should be, and has less to do than was shown."""
    item = run_import(NEWER, mode=REPLACE)
    with monkeypatch.context() as dying:
        after_batch(dying, 4, lambda: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            apply(item)
    assert answers(existing) == ["answer 0", "better 1"]
    Job.objects.filter(pk=item.job.pk).update(state="queued")
    finish_job(item, {"step": "store"})
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    facts = ["1 added", "1 changed", "2 in the trash", "1 left as they were"]
    assert "".join(f"<span>{fact}</span>" for fact in facts) in page


def test_the_page_counts_what_happened_and_not_the_plan(existing, run_import, as_owner, url):
    item = run_import(NEWER, mode=REPLACE)
    item.plan |= {"new": 3, "changed": 0, "same": 0, "gone": 0}  # as if it had foreseen this
    item.save()
    apply(item)
    page = compact(as_owner.get(url("detail", import_id=item.pk)))
    assert "The examples are up to date." in page
    facts = ["1 added", "1 changed", "2 in the trash", "1 left as they were"]
    assert "".join(f"<span>{fact}</span>" for fact in facts) in page
