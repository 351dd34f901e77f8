"""Which prompts are asked: never one of the test, and none that has a pair already."""

import pytest
from django.db import connection

from finetune_app.datasets.models import Split, Status
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal
from finetune_app.preferences import prompts
from tests.preferences.conftest import add, choose_good, started


def asked(dataset, count: int = 160) -> set[int]:
    return {row.number for row in picked(dataset, count)}


def picked(dataset, count: int) -> list:
    dataset.refresh_from_db()
    return prompts.pick_rows(dataset, count)


def test_no_test_row_is_asked_and_nothing_that_repeats_one(dataset, owner):
    """Rows that tell what the test holds: the row itself, its prompt again, its whole group."""
    sealed = add(dataset, owner, 1, split="test")
    grouped = add(dataset, owner, 2, split="test", group="customer 7")
    again = add(dataset, owner, 3, prompt=f"  {sealed.prompt.upper()}\n")
    same_group = add(dataset, owner, 4, group="customer 7")
    trashed = add(dataset, owner, 5, split="test")
    like_trashed = add(dataset, owner, 6, prompt=trashed.prompt)
    dataset.examples.filter(pk=trashed.pk).update(deleted_at=trashed.created_at)
    fine = add(dataset, owner, 7, group="customer 8")
    never = {one.number for one in (sealed, grouped, again, same_group, trashed, like_trashed)}
    assert again.split == same_group.split == Split.TRAIN
    assert asked(dataset) == {fine.number}
    assert not asked(dataset) & never


def test_whether_there_is_any_prompt_to_ask(dataset, owner):
    assert not prompts.any_row(dataset)
    add(dataset, owner, 1, split="test")
    assert not prompts.any_row(dataset)
    add(dataset, owner, 2)
    assert prompts.any_row(dataset)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL plans by statistics")
def test_prompts_of_the_test_are_looked_up_by_prompt(dataset):
    """Without an index of prompts SQLite read all rows for each row: seconds for 100,000."""
    plan = prompts.askable(dataset).explain()
    assert "(dataset_id=? AND split=? AND prompt_hash=?)" in plan


def test_a_test_set_of_another_goal_holds_nothing_back(dataset, owner, team):
    other = dataset_of(Goal.objects.create(team=team, name="Another", created_by=owner))
    add(other, owner, 1, split="test")
    mine = add(dataset, owner, 1)
    assert asked(dataset) == {mine.number}


def test_four_training_prompts_to_one_of_practice(dataset, owner):
    for number in range(100):
        add(dataset, owner, number, split="validation" if number % 4 == 0 else "train")
    rows = picked(dataset, 40)
    splits = [row.split for row in rows]
    assert (splits.count("train"), splits.count("validation")) == (32, 8)
    assert sorted(splits) != splits  # mixed


def test_where_there_is_little_practice_more_is_learned_from(dataset, owner):
    for number in range(30):
        add(dataset, owner, number, split="validation" if number < 2 else "train")
    splits = [row.split for row in picked(dataset, 20)]
    assert (splits.count("train"), splits.count("validation")) == (18, 2)


def test_rows_without_an_answer_are_asked_unless_somebody_has_them(dataset, owner, editor):
    free = add(dataset, owner, 1, answer="")
    given = add(dataset, owner, 2, answer="")
    dataset.examples.filter(pk=given.pk).update(assigned_to=editor)
    assert free.status == Status.PENDING
    assert asked(dataset) == {free.number}


def test_rows_that_two_people_answer_unaided_are_not_asked(dataset, owner):
    add(dataset, owner, 1, answer="")
    dataset.twice_percent = 100
    dataset.save()
    assert asked(dataset) == set()


@pytest.mark.parametrize("status", [Status.DRAFT, Status.SET_ASIDE, Status.DISPUTED])
def test_rows_that_somebody_works_on_or_put_away_are_not_asked(dataset, owner, status):
    row = add(dataset, owner, 1)
    dataset.examples.filter(pk=row.pk).update(status=status)
    assert asked(dataset) == set()


def test_rows_with_tools_are_not_asked(dataset, owner):
    """Their answer may be a call, which two texts cannot be compared with."""
    row = add(dataset, owner, 1)
    dataset.examples.filter(pk=row.pk).update(tools=[{"type": "function"}])
    assert asked(dataset) == set()


def test_a_prompt_is_asked_once_and_not_when_it_has_a_pair(dataset, owner):
    add(dataset, owner, 1)
    add(dataset, owner, 1, answer="another answer")
    assert len(asked(dataset)) == 1
    add(dataset, owner, 1, rejected="a worse one")
    assert asked(dataset) == set()


def test_an_earlier_choice_is_not_asked_again(run, as_owner, url, ready, owner):
    done = choose_good(as_owner, url)
    again = started(ready, owner, 160)
    assert done.example_id not in again.answer_pairs.values_list("example", flat=True)
