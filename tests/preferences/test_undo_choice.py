"""The last choice is taken back: what it made goes, and its answers are shown again."""

import pytest

from finetune_app.datasets.models import Example, Status
from finetune_app.preferences.models import AnswerPair
from tests.preferences.conftest import (
    add,
    choose_good,
    press,
    record,
    shown_to,
    side_of,
    started,
    text,
)


def test_the_pair_beside_a_row_goes_and_its_answers_come_back(run, as_owner, url):
    choose_good(as_owner, url)
    last = choose_good(as_owner, url)
    reply = as_owner.post(url("undo"))
    page = as_owner.get(reply["Location"])
    assert page.context["pair"] == last
    assert "1 of 20 chosen" in text(page)
    assert Example.objects.get(pk=last.made_id).deleted_at
    press(as_owner, url, last, side_of(last, "bad"))
    last.refresh_from_db()
    assert last.made.answer.startswith("bad")
    assert run.goal.dataset.examples.kept().exclude(rejected="").count() == 2


def test_a_completed_row_is_to_do_again(ready, owner, as_owner, url):
    ready.dataset.examples.update(status=Status.SET_ASIDE)
    row = add(ready.dataset, owner, 300, answer="")
    run = started(ready, owner)
    record(run, run.answer_pairs.get(), first="good", second="bad")
    choose_good(as_owner, url)
    as_owner.post(url("undo"))
    row.refresh_from_db()
    assert (row.status, row.answer, row.rejected) == (Status.PENDING, "", "")
    choose_good(as_owner, url)
    row.refresh_from_db()
    assert (row.status, row.answer) == (Status.APPROVED, "good")


def test_neither_is_taken_back_too(run, as_owner, url):
    found = shown_to(as_owner, url)
    press(as_owner, url, found, "neither")
    as_owner.post(url("undo"))
    assert shown_to(as_owner, url) == found


def test_only_one_s_own_choices_are_taken_back(run, as_owner, as_editor, url):
    mine = choose_good(as_owner, url)
    theirs = choose_good(as_editor, url)
    as_owner.post(url("undo"))
    as_owner.post(url("undo"))  # there is no other one
    states = {one.pk: one.state for one in run.answer_pairs.filter(pk__in=(mine.pk, theirs.pk))}
    assert states == {mine.pk: AnswerPair.State.READY, theirs.pk: AnswerPair.State.CHOSEN}


def test_a_pair_that_somebody_changed_since_stays(run, as_owner, url):
    found = choose_good(as_owner, url)
    Example.objects.filter(pk=found.made_id).update(deleted_at=found.decided_at)
    reply = as_owner.post(url("undo"))
    assert reply.status_code == 409
    assert "so does your choice" in text(reply)
    found.refresh_from_db()
    assert found.state == AnswerPair.State.CHOSEN


@pytest.mark.parametrize("on_the_page", [True, False])
def test_an_edit_that_was_undone_elsewhere_is_no_hindrance(run, as_owner, owner, url, on_the_page):
    """On the page of all changes of the dataset."""
    from finetune_app.datasets.services import undo

    found = choose_good(as_owner, url)
    undo(edit=found.edit, by=owner)
    if on_the_page:
        as_owner.get(url("choose"))
    as_owner.post(url("undo"))
    found.refresh_from_db()
    assert found.state == AnswerPair.State.READY
