"""Searching the examples for a text."""

import pytest
from django.db import connection

from finetune_app.datasets.models import Dataset
from finetune_app.datasets.services import add_rows, dataset_of
from finetune_app.datasets.table_query import TableFilters, examples_of
from finetune_app.goals.models import Goal
from tests.example_rows import conversation


@pytest.fixture
def dataset(add_examples) -> Dataset:
    return add_examples(20)


def search(dataset: Dataset, text: str, **more: str) -> set[int]:
    found = examples_of(dataset, TableFilters(q=text, **more))
    return set(found.values_list("number", flat=True))


def test_a_text_is_found_in_prompts_and_answers_whatever_its_case(dataset):
    dataset.examples.filter(number=7).update(prompt="A unicorn on a bike?")
    dataset.examples.filter(number=8).update(answer="Another UNICORN")
    for text in ("unicorn", "Unicorn", "NIC", "u", "co"):
        assert {7, 8} <= search(dataset, text), text
    assert search(dataset, "unicorn") == {7, 8}
    assert search(dataset, "zebra") == set()


@pytest.mark.parametrize("text", ["50%_off", "%", "_o", '"yes" to \\it', "\\", "'", "ü"])
def test_every_character_stands_for_itself(dataset, text):
    dataset.examples.update(prompt="plain", answer="plain")
    dataset.examples.filter(number=7).update(
        prompt="50%_off, it's für you", answer='say "yes" to \\it'
    )
    assert search(dataset, text) == {7}


def test_the_search_follows_every_change(dataset):
    row = dataset.examples.get(number=7)
    row.set_messages(conversation("A unicorn on a bike?", "no"))
    row.save()
    assert search(dataset, "unicorn") == {7}
    assert search(dataset, "unicorn", status="draft") == set()
    row.set_messages(conversation("A horse?", "no"))
    row.save()
    assert search(dataset, "unicorn") == set()


def test_other_datasets_are_not_searched(dataset, team, owner):
    other = dataset_of(Goal.objects.create(team=team, name="Other", created_by=owner))
    add_rows(dataset=other, by=owner, rows=[{"messages": conversation("A unicorn?", "no")}] * 3)
    assert search(dataset, "unicorn") == set()


def test_letters_that_are_equal_in_upper_case_are_found(dataset):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite compares only the letters of ASCII without their case")
    dataset.examples.filter(number=7).update(prompt="ΟΔΟΣ, οδος")
    for text in ("οδος", "οδοσ", "ΟΔΟΣ"):
        assert search(dataset, text) == {7}, text
