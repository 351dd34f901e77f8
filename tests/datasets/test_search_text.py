"""Searching a large dataset with the index, on a small one that counts as large."""

import pytest
from django.db import connection

from finetune_app.datasets import text_search
from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.datasets.table_query import TableFilters, examples_of
from finetune_app.goals.models import Goal
from tests.example_rows import conversation


@pytest.fixture
def large(add_examples, monkeypatch) -> Dataset:
    monkeypatch.setattr(text_search, "MIN_ROWS", 10)
    return add_examples(60)


def search(large: Dataset, text: str, **more: str) -> set[int]:
    found = examples_of(Dataset.objects.get(pk=large.pk), TableFilters(q=text, **more))
    return set(found.values_list("number", flat=True))


@pytest.mark.parametrize("most", [text_search.MAX_PROPOSED, 2])
def test_index_finds_the_same_rows_as_a_scan(large, monkeypatch, most):
    monkeypatch.setattr(text_search, "MAX_PROPOSED", most)
    for text in ("saddle", "SADDLE", "dle back", "due: today", "100%_ \\ '\"", "zebra", "My", "ü"):
        scanned = large.examples.filter(text_search.containing(text))
        assert search(large, text) == set(scanned.values_list("number", flat=True)), text


def test_index_is_used_for_three_characters_and_more(large):
    fresh = Dataset.objects.get(pk=large.pk)
    assert text_search.proposed_keys(fresh, "saddle")
    assert text_search.proposed_keys(fresh, "zebra") == []
    if connection.vendor == "sqlite":
        assert text_search.proposed_keys(fresh, "sa") is None


def test_index_follows_every_change(large):
    row = large.examples.get(number=7)
    row.set_messages(conversation("A unicorn on a bike, 50%_off?", 'say "yes" to \\it'))
    row.save()
    for text in ("unicorn", "50%_off", '"yes" to \\i'):
        assert search(large, text) == {7}, text
    large.examples.filter(number=8).update(answer="another unicorn")
    assert search(large, "unicorn") == {7, 8}
    assert search(large, "unicorn", status="draft") == set()
    row.delete()
    assert search(large, "unicorn") == {8}


def test_other_datasets_are_not_searched(large, team, owner):
    other = dataset_of(Goal.objects.create(team=team, name="Other", created_by=owner))
    add_rows(dataset=other, by=owner, rows=[{"messages": conversation("A unicorn?", "no")}] * 3)
    assert search(large, "unicorn") == set()


def test_rows_are_scanned_where_there_is_no_index(large, monkeypatch):
    assert text_search.has_index(connection.vendor)
    monkeypatch.setattr(text_search, "has_index", lambda vendor: False)
    assert search(large, "saddle")


def test_index_is_created_again_when_a_migration_dropped_its_triggers(large):
    if connection.vendor != "sqlite":
        pytest.skip("only SQLite drops them")
    with connection.cursor() as cursor:
        for event in ("insert", "update", "delete"):
            cursor.execute(f"DROP TRIGGER datasets_words_{event}")
    large.examples.filter(number=7).update(prompt="A unicorn?")
    text_search.create_index()
    assert search(large, "unicorn") == {7}


def test_letters_that_are_equal_in_upper_case_are_found_with_the_index_too(large):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite compares only the letters of ASCII without their case")
    large.examples.filter(number=7).update(prompt="ΟΔΟΣ, οδος, οδοσ")
    for text in ("οδος", "οδοσ", "ΟΔΟΣ", "ος"):
        assert search(large, text) == {7}, text
