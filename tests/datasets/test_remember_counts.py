"""The counts of a large dataset are remembered until it changes."""

import pytest

from finetune_app.datasets import status_counts
from finetune_app.datasets.models import Dataset, Status
from finetune_app.datasets.services import change_many, undo


@pytest.fixture
def rows(add_examples, monkeypatch) -> Dataset:
    monkeypatch.setattr(status_counts, "REMEMBER_FROM", 10)
    rows = add_examples(12)
    rows.refresh_from_db()
    return rows


def test_nothing_is_counted_again_while_nothing_changes(rows, django_assert_num_queries):
    first = status_counts.counts(rows)
    assert (first["all"], first["approved"]) == (12, 12)
    with django_assert_num_queries(1):  # when it changed last
        assert status_counts.counts(rows) == first
    with django_assert_num_queries(1):
        assert status_counts.begun_and_waiting([rows.goal_id])[rows.goal_id].begun == 12


def test_a_change_is_counted_also_where_the_dataset_was_read_before(rows, owner):
    status_counts.counts(rows)
    edit = change_many(
        dataset=Dataset.objects.get(pk=rows.pk),
        examples=list(rows.examples.all()[:5]),
        by=owner,
        what="Set aside",
        fields=lambda example: {"status": Status.SET_ASIDE},
    )
    assert status_counts.counts(rows)["approved"] == 7
    assert status_counts.begun_and_waiting([rows.goal_id])[rows.goal_id].begun == 7
    undo(edit=edit, by=owner)
    assert status_counts.counts(rows)["approved"] == 12


def test_a_small_dataset_is_counted_each_time(add_examples):
    rows = add_examples(9)
    status_counts.counts(rows)
    rows.examples.filter(number=1).update(status=Status.DRAFT)
    assert status_counts.counts(rows)["draft"] == 1


def test_what_a_caller_does_with_the_counts_is_not_remembered(rows):
    status_counts.counts(rows)["all"] = 0
    assert status_counts.counts(rows)["all"] == 12
