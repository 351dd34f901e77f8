"""Rows of a file show all at once: hidden while they come, gone without a trace when they don't."""

import pytest

from finetune_app.core.files import local_path
from finetune_app.datasets.models import Edit, Example, Import, Status
from finetune_app.datasets.services import add_example
from finetune_app.datasets.services.undoing import undo
from finetune_app.imports import import_rows, services
from finetune_app.jobs.handlers import handler_for
from tests.example_rows import conversation, pair
from tests.worker.conftest import supervise


def rows(count: int) -> list[dict]:
    return [{"messages": conversation(*pair(n))} for n in range(count)]


@pytest.fixture
def half(read_file, monkeypatch, dataset) -> Import:
    """An import whose worker died when it had stored some of its rows."""
    stored = import_rows.store_new

    def dying(locked, examples) -> None:
        if dataset.examples.count() == 10:
            raise ZeroDivisionError
        stored(locked, examples)

    monkeypatch.setattr(import_rows, "INSERT_BATCH_ROWS", 5)
    monkeypatch.setattr(import_rows, "store_new", dying)
    with pytest.raises(ZeroDivisionError):
        read_file(rows(30))
    monkeypatch.setattr(import_rows, "store_new", stored)
    return Import.objects.get()


def test_half_an_import_is_nowhere_to_be_seen(half, as_owner, dataset_url, dataset):
    assert dataset.examples.count() == 10
    assert not dataset.examples.kept().exists()
    assert not dataset.examples.usable().exists()
    page = as_owner.get(dataset_url("page")).content.decode()
    assert "Show it how you do it." in page
    assert "is being read" in page


def test_others_may_write_meanwhile(half, dataset, owner):
    mine, _edit = add_example(dataset=dataset, by=owner, messages=conversation("Mine?", "yes"))
    services.revert_import(half)
    assert list(dataset.examples.all()) == [mine]


def test_it_fails_and_leaves_nothing(half, dataset, django_capture_on_commit_callbacks):
    half.job.message = "The computer ran out of memory."
    with django_capture_on_commit_callbacks(execute=True):
        handler_for(half.job).fail(half.job)
    half.refresh_from_db()
    assert half.step == Import.Step.FAILED
    assert not Example.objects.exists()
    dataset.refresh_from_db()
    assert dataset.last_number == 0


def test_cancelled_half_way_nothing_and_no_file_is_left(
    half, as_owner, url, django_capture_on_commit_callbacks
):
    folder = local_path(half.folder)
    assert folder.exists()
    with django_capture_on_commit_callbacks(execute=True):
        as_owner.post(url("cancel", import_id=half.pk))
    assert not Example.objects.exists()
    assert not Import.objects.exists()
    assert not folder.exists()


def test_many_rows_of_a_cancelled_import_go_as_a_job(
    transactional_db, half, as_owner, url, dataset_url, dataset, monkeypatch
):
    """Whoever cancels does not wait for it, and sees none of the rows."""
    monkeypatch.setattr(services, "MAX_ROWS_REMOVED_IN_REQUEST", 5)
    assert as_owner.post(url("cancel", import_id=half.pk)).status_code == 302
    assert dataset.examples.count() == 10
    assert "Show it how you do it." in as_owner.get(dataset_url("page")).content.decode()
    services.delete_abandoned()  # somebody brings another file: the job is at it already
    half.refresh_from_db()
    assert half.job.title == f"Removing what came in from {half.file_name}"
    supervise(half.job)
    assert not dataset.examples.exists()
    assert not Import.objects.exists()


def test_a_worker_notices_that_it_was_cancelled(read_file, as_owner, url, monkeypatch, dataset):
    stored = import_rows.store_new

    def cancelling(locked, examples) -> None:
        stored(locked, examples)
        item = Import.objects.get()
        if item.step == Import.Step.READING:
            Import.objects.filter(pk=item.pk).update(step=Import.Step.CANCELLED)

    monkeypatch.setattr(import_rows, "INSERT_BATCH_ROWS", 5)
    monkeypatch.setattr(import_rows, "store_new", cancelling)
    item = read_file(rows(30))
    assert item.step == Import.Step.CANCELLED
    assert dataset.examples.count() == 5
    assert as_owner.get(url("detail", import_id=item.pk)).status_code == 404
    services.delete_abandoned()
    assert not dataset.examples.exists()
    assert not Import.objects.exists()


def test_one_bad_row_keeps_all_out_where_that_is_wanted(read_file, dataset, as_owner, url):
    item = read_file(rows(3), rejected=2, whole_or_nothing=True)
    assert item.step == Import.Step.FAILED
    assert not dataset.examples.exists()
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "2 rows cannot be used" in page
    assert "Take the 3 good rows" in page
    as_owner.post(url("decide", import_id=item.pk), {"what": "good"})
    item.refresh_from_db()
    assert (item.step, item.whole_or_nothing) == (Import.Step.READING, False)


def test_no_bad_row_lets_all_in(read_file, dataset):
    item = read_file(rows(3), whole_or_nothing=True)
    assert item.step == Import.Step.DONE
    assert dataset.examples.kept().count() == 3


def test_rows_carry_their_key_and_group_and_wait_for_an_answer(read_file, dataset):
    asked = {"messages": conversation("Who answers this?", ""), "key": "7", "group": "Kettle"}
    read_file([*rows(2), asked])
    example = dataset.examples.get(key="7")
    assert (example.group, example.status) == ("Kettle", Status.PENDING)
    assert dataset.examples.usable().count() == 2


def test_rows_of_a_group_share_a_side_also_with_those_that_come_later(read_file, dataset):
    some = [row | {"group": f"g{at % 8}"} for at, row in enumerate(rows(120))]
    read_file(some[:80])
    read_file(some[80:])
    sides: dict[str, set[str]] = {}
    for group, split in dataset.examples.values_list("group", "split"):
        sides.setdefault(group, set()).add(split)
    assert len(sides) == 8
    assert all(len(found) == 1 for found in sides.values())


def test_an_import_comes_and_goes_as_one(read_file, dataset, owner):
    read_file(rows(12))
    back, _left = undo(edit=Edit.objects.get(), by=owner)
    assert not dataset.examples.kept().exists()
    undo(edit=back, by=owner)
    assert dataset.examples.kept().count() == 12
