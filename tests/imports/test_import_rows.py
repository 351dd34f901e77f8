"""Import rows: hidden until the import is done, and deleted if it fails or is cancelled."""

import pytest
from django.utils import timezone

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Edit, Example, Import, Status
from finetune_app.datasets.services import add_example
from finetune_app.datasets.services.trash import empty_trash
from finetune_app.datasets.services.undoing import undo
from finetune_app.imports import import_rows, services
from finetune_app.jobs.handlers import handler_for
from tests.example_rows import conversation, pair
from tests.worker.conftest import supervise


def rows(count: int) -> list[dict]:
    return [{"messages": conversation(*pair(n))} for n in range(count)]


@pytest.fixture
def interrupt_import(run_import, monkeypatch, dataset):
    """Runs an import whose worker dies after storing some of its rows, `after` others."""
    stored = import_rows.store_new

    def run(after: int = 0) -> Import:
        def store_then_fail(locked, examples) -> None:
            if dataset.examples.count() == after + 10:
                raise ZeroDivisionError
            stored(locked, examples)

        monkeypatch.setattr(import_rows, "INSERT_BATCH_ROWS", 5)
        monkeypatch.setattr(import_rows, "store_new", store_then_fail)
        with pytest.raises(ZeroDivisionError):
            run_import(rows(30))
        monkeypatch.setattr(import_rows, "store_new", stored)
        return Import.objects.get()

    return run


@pytest.fixture
def interrupted(interrupt_import) -> Import:
    return interrupt_import()


def test_rows_of_an_unfinished_import_are_hidden(interrupted, as_owner, dataset_url, dataset):
    assert dataset.examples.count() == 10
    assert not dataset.examples.kept().exists()
    assert not dataset.examples.usable().exists()
    page = as_owner.get(dataset_url("page")).content.decode()
    assert "Show it how you do it." in page
    assert "is being read" in page


def test_reverting_an_import_keeps_examples_added_meanwhile(interrupted, dataset, owner):
    added, _edit = add_example(dataset=dataset, by=owner, messages=conversation("Mine?", "yes"))
    services.revert_import(interrupted)
    assert list(dataset.examples.all()) == [added]


def throw_away(dataset, example) -> None:
    """Delete it for good."""
    dataset.examples.filter(pk=example.pk).update(deleted_at=timezone.now())
    empty_trash(dataset=dataset)


def add(dataset, by, question: str) -> Example:
    example, _edit = add_example(dataset=dataset, by=by, messages=conversation(question, "yes"))
    return example


def test_a_cancelled_import_gives_no_number_of_a_deleted_example_away(
    dataset, owner, interrupt_import
):
    """Frozen versions and looks at test prompts know examples by their numbers."""
    kept, deleted = add(dataset, owner, "First?"), add(dataset, owner, "Second?")
    throw_away(dataset, deleted)
    services.revert_import(interrupt_import(after=1))
    assert add(dataset, owner, "Third?").number == deleted.number + 1
    assert dataset.examples.get(number=kept.number) == kept


def test_nor_that_of_one_added_and_deleted_while_it_ran(interrupted, dataset, owner):
    added = add(dataset, owner, "Mine?")
    throw_away(dataset, added)
    services.revert_import(interrupted)
    assert add(dataset, owner, "Again?").number == added.number + 1


def test_a_failed_import_leaves_no_rows(interrupted, dataset, django_capture_on_commit_callbacks):
    interrupted.job.message = "The computer ran out of memory."
    with django_capture_on_commit_callbacks(execute=True):
        handler_for(interrupted.job).fail(interrupted.job)
    interrupted.refresh_from_db()
    assert interrupted.step == Import.Step.FAILED
    assert not Example.objects.exists()
    dataset.refresh_from_db()
    assert dataset.last_number == 0


def test_cancelling_an_unfinished_import_deletes_rows_and_file(
    interrupted, as_owner, url, django_capture_on_commit_callbacks
):
    folder = local_path(interrupted.folder)
    assert folder.exists()
    with django_capture_on_commit_callbacks(execute=True):
        as_owner.post(url("cancel", import_id=interrupted.pk))
    assert not Example.objects.exists()
    assert not Import.objects.exists()
    assert not folder.exists()


def test_cancelling_a_large_import_deletes_its_rows_in_a_job(
    transactional_db, interrupted, as_owner, url, dataset_url, dataset, monkeypatch
):
    """The page does not wait for it, and shows none of the rows."""
    monkeypatch.setattr(services, "MAX_ROWS_REMOVED_IN_REQUEST", 5)
    assert as_owner.post(url("cancel", import_id=interrupted.pk)).status_code == 302
    assert dataset.examples.count() == 10
    assert "Show it how you do it." in as_owner.get(dataset_url("page")).content.decode()
    services.delete_abandoned()  # called by another upload: the job exists already
    interrupted.refresh_from_db()
    assert interrupted.job.title == f"Removing the rows of {interrupted.file_name}"
    supervise(interrupted.job)
    assert not dataset.examples.exists()
    assert not Import.objects.exists()


def test_cancelling_while_rows_are_stored_stops_the_worker(
    run_import, as_owner, url, monkeypatch, dataset
):
    stored = import_rows.store_new

    def store_then_cancel(locked, examples) -> None:
        stored(locked, examples)
        item = Import.objects.get()
        if item.step == Import.Step.READING:
            Import.objects.filter(pk=item.pk).update(step=Import.Step.CANCELLED)

    monkeypatch.setattr(import_rows, "INSERT_BATCH_ROWS", 5)
    monkeypatch.setattr(import_rows, "store_new", store_then_cancel)
    item = run_import(rows(30))
    assert item.step == Import.Step.CANCELLED
    assert dataset.examples.count() == 5
    assert as_owner.get(url("detail", import_id=item.pk)).status_code == 404
    services.delete_abandoned()
    assert not dataset.examples.exists()
    assert not Import.objects.exists()


def test_whole_or_nothing_rejects_a_file_with_a_bad_row(run_import, dataset, as_owner, url):
    item = run_import(rows(3), rejected=2, whole_or_nothing=True)
    assert item.step == Import.Step.FAILED
    assert not dataset.examples.exists()
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "2 rows cannot be used" in page
    assert "Add the 3 good rows" in page
    as_owner.post(url("decide", import_id=item.pk), {"what": "good"})
    item.refresh_from_db()
    assert (item.step, item.whole_or_nothing) == (Import.Step.READING, False)


def test_whole_or_nothing_imports_a_file_without_bad_rows(run_import, dataset):
    item = run_import(rows(3), whole_or_nothing=True)
    assert item.step == Import.Step.DONE
    assert dataset.examples.kept().count() == 3


def test_rows_keep_key_and_group_and_unanswered_ones_are_pending(run_import, dataset):
    asked = {"messages": conversation("Who answers this?", ""), "key": "7", "group": "Kettle"}
    run_import([*rows(2), asked])
    example = dataset.examples.get(key="7")
    assert (example.group, example.status) == ("Kettle", Status.PENDING)
    assert dataset.examples.usable().count() == 2


def test_rows_of_a_group_share_a_split_across_imports(run_import, dataset):
    some = [row | {"group": f"g{at % 8}"} for at, row in enumerate(rows(120))]
    run_import(some[:80])
    run_import(some[80:])
    splits_by_group: dict[str, set[str]] = {}
    for group, split in dataset.examples.values_list("group", "split"):
        splits_by_group.setdefault(group, set()).add(split)
    assert len(splits_by_group) == 8
    assert all(len(found) == 1 for found in splits_by_group.values())


@pytest.fixture
def small_batches(monkeypatch) -> None:
    """Splits are assigned to ten rows at a time, in place of thousands."""
    monkeypatch.setattr(import_rows, "ROWS_PER_BATCH", 10)


def with_splits(*parts: tuple[str, int]) -> list[dict]:
    """As many rows with this split for each of the parts, one part after the other."""
    named = [split for split, count in parts for _row in range(count)]
    return [row | {"split": split} for row, split in zip(rows(len(named)), named, strict=True)]


def splits_in_order(dataset) -> list[str]:
    return list(dataset.examples.order_by("number").values_list("split", flat=True))


def test_splits_that_a_sorted_file_names_are_kept(small_batches, run_import, dataset):
    """Its first batches do not know yet that validation rows follow."""
    some = with_splits(("train", 40), ("validation", 15), ("test", 15))
    run_import(some)
    assert splits_in_order(dataset) == [row["split"] for row in some]


def test_rows_without_a_split_are_learned_where_other_rows_name_theirs(
    small_batches, run_import, dataset
):
    run_import(with_splits(("", 30), ("validation", 10), ("test", 10)))
    assert splits_in_order(dataset) == ["train"] * 30 + ["validation"] * 10 + ["test"] * 10


def test_validation_is_taken_from_every_batch_of_a_file_that_names_none(
    small_batches, run_import, dataset
):
    run_import(with_splits(("train", 100), ("test", 20)))
    splits = splits_in_order(dataset)
    assert splits[100:] == ["test"] * 20
    assert set(splits[:100]) == {"train", "validation"}
    assert "validation" in splits[50:100]


def test_undo_and_redo_apply_to_the_whole_import(run_import, dataset, owner):
    run_import(rows(12))
    back, _left = undo(edit=Edit.objects.get(), by=owner)
    assert not dataset.examples.kept().exists()
    undo(edit=back, by=owner)
    assert dataset.examples.kept().count() == 12
