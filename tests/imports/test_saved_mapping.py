"""Which column was what is remembered for the next file of the same shape, until one forgets it."""

import pytest

from finetune_app.datasets.models import Import
from finetune_app.goals.models import Goal
from finetune_app.imports import services
from finetune_app.imports.models import SavedMapping

GUESS = {
    "style": "pairs",
    "prompt": "",
    "answer": "",
    "context": "",
    "system": "",
    "split": "",
    "why": "No column is called anything we know as the answer.",
}
ROW = {"line": 2, "cells": {"mails": "Is my bike ready?", "antw": "soon", "ref": "17"}}
SHAPE = {
    "format": "table",
    "encoding": "utf-8",
    "encoding_why": "",
    "delimiter": ";",
    "columns": ["mails", "antw", "ref"],
    "filled": {},
    "rows": [ROW],
    "row_count": 1,
    "usable": 0,
    "unreadable": 0,
    "has_header": True,
}
CHOSEN = {"prompt": "mails", "answer": "antw", "key": "ref"}


@pytest.fixture
def look(dataset, owner, no_worker):
    """A file that a worker has just looked at."""

    def looked(to=dataset, **shape) -> Import:
        item = Import.objects.create(
            dataset=to, by=owner, file_name="mails.csv", stored_name="uploads/x/upload"
        )
        services.record_inspection(item, {"shape": SHAPE | shape, "mapping": dict(GUESS)})
        return item

    return looked


@pytest.fixture
def confirmed(look, as_owner, url) -> Import:
    item = look()
    as_owner.post(url("confirm", import_id=item.pk), CHOSEN | {"add": "1"})
    return item


def test_the_next_file_of_this_shape_is_read_as_last_time(confirmed, look, as_owner, url):
    item = look()
    assert {name: item.mapping[name] for name in CHOSEN} == CHOSEN
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "The columns are set as last time" in page
    assert "Is this how it should learn?" in page
    assert "Is my bike ready?" in page


def test_so_it_is_in_another_goal_of_the_team(confirmed, look, team, owner):
    from finetune_app.datasets.services import dataset_of

    other = dataset_of(Goal.objects.create(team=team, name="Another", created_by=owner))
    assert look(to=other).mapping["answer"] == "antw"


def test_another_team_learns_nothing_of_it(confirmed, look, stranger):
    from finetune_app.datasets.services import dataset_of

    goal = Goal.objects.create(team=stranger.teams.get(), name="Theirs", created_by=stranger)
    assert look(to=dataset_of(goal)).mapping["answer"] == ""


def test_a_file_with_other_columns_is_guessed_anew(confirmed, look):
    assert look(columns=["mails", "antw", "ref", "more"]).mapping["answer"] == ""
    assert look(format="json").mapping["answer"] == ""


def test_one_click_forgets(confirmed, look, as_owner, url):
    item = look()
    as_owner.post(url("decide", import_id=item.pk), {"what": "forget"})
    assert not SavedMapping.objects.exists()
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "Which column holds the answers?" in page
    assert "as last time" not in page
    assert look().mapping["answer"] == ""


def test_a_choice_that_is_corrected_counts_from_then_on(confirmed, look, as_owner, url):
    item = look()
    form = {"prompt": "antw", "answer": "mails", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    assert look().mapping["answer"] == "mails"
    assert SavedMapping.objects.count() == 1


def test_rows_may_come_without_any_answer(look, as_owner, url):
    item = look()
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "They have no answers yet" in page
    address = url("confirm", import_id=item.pk)
    page = as_owner.post(address, {"unanswered": "keep", "prompt": "mails"}).content.decode()
    assert "Which column holds" not in page
    as_owner.post(address, {"unanswered": "keep", "prompt": "mails", "add": "1"})
    item.refresh_from_db()
    assert (item.step, item.mapping["unanswered"], item.mapping["answer"]) == (
        Import.Step.READING,
        "keep",
        "",
    )


def test_how_the_rows_come_in_is_kept(look, examples, as_owner, url):
    examples(12)
    item = look()
    address = url("confirm", import_id=item.pk)
    page = as_owner.post(address, CHOSEN | {"mode": "merge"}).content.decode()
    assert "See what changes" in page
    assert "A row is the same when its “ref” is." in page
    as_owner.post(address, CHOSEN | {"mode": "merge", "whole_or_nothing": "on", "add": "1"})
    item.refresh_from_db()
    assert (item.mode, item.whole_or_nothing) == (Import.Mode.MERGE, True)


def test_an_empty_dataset_is_only_added_to(look, as_owner, url):
    item = look()
    address = url("confirm", import_id=item.pk)
    assert "Replace them" not in as_owner.post(address, CHOSEN).content.decode()
    as_owner.post(address, CHOSEN | {"mode": "replace", "add": "1"})
    item.refresh_from_db()
    assert item.mode == Import.Mode.APPEND


def test_a_way_that_does_not_exist_is_asked_again_or_ignored(look, examples, as_owner, url):
    examples(12)
    item = look()
    form = CHOSEN | {"mode": "explode", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    item.refresh_from_db()
    assert item.mode == Import.Mode.APPEND
