"""The confirmed mapping is saved for files with the same columns."""

import pytest

from finetune_app.datasets.models import Import
from finetune_app.goals.models import Goal
from finetune_app.imports import services
from finetune_app.imports.models import SavedMapping

INFERRED = {
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
def inspected(dataset, owner, no_worker):
    """An import that a worker has inspected."""

    def inspect(to=dataset, **shape) -> Import:
        item = Import.objects.create(
            dataset=to, by=owner, file_name="mails.csv", stored_name="uploads/x/upload"
        )
        services.record_inspection(item, {"shape": SHAPE | shape, "mapping": dict(INFERRED)})
        return item

    return inspect


@pytest.fixture
def confirmed(inspected, as_owner, url) -> Import:
    item = inspected()
    as_owner.post(url("confirm", import_id=item.pk), CHOSEN | {"add": "1"})
    return item


def test_a_file_with_the_same_columns_gets_the_saved_mapping(confirmed, inspected, as_owner, url):
    item = inspected()
    assert {name: item.mapping[name] for name in CHOSEN} == CHOSEN
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "The columns are set as last time" in page
    assert "Is this how it should learn?" in page
    assert "Is my bike ready?" in page


def test_another_goal_of_the_team_gets_the_saved_mapping(confirmed, inspected, team, owner):
    from finetune_app.datasets.services import dataset_of

    other = dataset_of(Goal.objects.create(team=team, name="Another", created_by=owner))
    assert inspected(to=other).mapping["answer"] == "antw"


def test_another_team_does_not_get_the_saved_mapping(confirmed, inspected, stranger):
    from finetune_app.datasets.services import dataset_of

    goal = Goal.objects.create(team=stranger.teams.get(), name="Theirs", created_by=stranger)
    assert inspected(to=dataset_of(goal)).mapping["answer"] == ""


def test_a_file_with_other_columns_is_inferred_anew(confirmed, inspected):
    assert inspected(columns=["mails", "antw", "ref", "more"]).mapping["answer"] == ""
    assert inspected(format="json").mapping["answer"] == ""


def test_forget_deletes_the_saved_mapping(confirmed, inspected, as_owner, url):
    item = inspected()
    as_owner.post(url("decide", import_id=item.pk), {"what": "forget"})
    assert not SavedMapping.objects.exists()
    page = as_owner.get(url("detail", import_id=item.pk)).content.decode()
    assert "Which column holds the answers?" in page
    assert "as last time" not in page
    assert inspected().mapping["answer"] == ""


def test_correcting_the_columns_updates_the_saved_mapping(confirmed, inspected, as_owner, url):
    item = inspected()
    form = {"prompt": "antw", "answer": "mails", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    assert inspected().mapping["answer"] == "mails"
    assert SavedMapping.objects.count() == 1


def test_keeping_unanswered_rows_needs_no_answer_column(inspected, as_owner, url):
    item = inspected()
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


def test_mode_and_whole_or_nothing_are_stored(inspected, examples, as_owner, url):
    examples(12)
    item = inspected()
    address = url("confirm", import_id=item.pk)
    page = as_owner.post(address, CHOSEN | {"mode": "merge"}).content.decode()
    assert "See what changes" in page
    assert "A row is the same when its “ref” is." in page
    as_owner.post(address, CHOSEN | {"mode": "merge", "whole_or_nothing": "on", "add": "1"})
    item.refresh_from_db()
    assert (item.mode, item.whole_or_nothing) == (Import.Mode.MERGE, True)


def test_the_mode_of_an_empty_dataset_is_append(inspected, as_owner, url):
    item = inspected()
    address = url("confirm", import_id=item.pk)
    assert "Replace them" not in as_owner.post(address, CHOSEN).content.decode()
    as_owner.post(address, CHOSEN | {"mode": "replace", "add": "1"})
    item.refresh_from_db()
    assert item.mode == Import.Mode.APPEND


def test_an_unknown_mode_is_ignored(inspected, examples, as_owner, url):
    examples(12)
    item = inspected()
    form = CHOSEN | {"mode": "explode", "add": "1"}
    as_owner.post(url("confirm", import_id=item.pk), form)
    item.refresh_from_db()
    assert item.mode == Import.Mode.APPEND
