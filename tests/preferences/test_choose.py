"""A person says which answer is better, and a training pair is made at once."""

import pytest
from django.utils import timezone

from finetune_app.datasets.models import Example, Split, Status
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


def pairs(goal):
    return goal.dataset.examples.kept().exclude(rejected="")


@pytest.fixture
def todo(ready, owner) -> AnswerPair:
    """The only prompt left is one of a row without an answer, in the practice split."""
    ready.dataset.examples.update(status=Status.SET_ASIDE)
    add(ready.dataset, owner, 300, answer="", split="validation", group="customer 9")
    run = started(ready, owner)
    (only,) = run.answer_pairs.all()
    record(run, only, first="good 300", second="bad 300")
    only.refresh_from_db()
    return only


def test_an_answered_row_keeps_its_answer_and_gets_a_pair_beside_it(run, as_owner, owner, url):
    before = {row.pk: row.messages for row in run.goal.dataset.examples.all()}
    found = choose_good(as_owner, url)
    row, made = found.example, found.made
    assert {pk: Example.objects.get(pk=pk).messages for pk in before} == before
    assert made.pk not in before
    assert (made.prompt, made.answer) == (row.prompt, f"good {row.number}")
    assert made.rejected == f"bad {row.number}"
    assert (made.status, made.split, made.group) == (Status.APPROVED, row.split, row.group)
    assert (made.source, made.changed_by) == ("chosen between two answers", owner)
    assert (found.decided_by, found.state) == (owner, AnswerPair.State.CHOSEN)


def test_every_pair_has_the_split_of_the_row_it_came_from(run, as_owner, url):
    for _choice in range(run.answer_pairs.count()):
        choose_good(as_owner, url)
    made = run.answer_pairs.select_related("made", "example")
    assert {one.made.split for one in made} == {Split.TRAIN, Split.VALIDATION}
    assert all(one.made.split == one.example.split for one in made)
    tests = run.goal.dataset.examples.filter(split=Split.TEST)
    hashes = set(tests.values_list("prompt_hash", flat=True))
    assert hashes
    assert not hashes & {one.made.prompt_hash for one in made}


def test_a_row_without_an_answer_is_completed(todo, as_owner, url):
    rows = todo.example.dataset.examples.count()
    found = choose_good(as_owner, url)
    row = found.made
    assert row == todo.example
    assert (row.answer, row.rejected, row.status) == ("good 300", "bad 300", Status.APPROVED)
    assert (row.split, row.group) == ("validation", "customer 9")
    assert row.dataset.examples.count() == rows


def test_a_row_that_was_answered_meanwhile_keeps_that_answer(todo, as_owner, url):
    found = shown_to(as_owner, url)
    row = todo.example
    row.set_messages([*row.messages[:1], {"role": "assistant", "content": "by a person"}])
    row.status = Status.APPROVED
    row.save()
    press(as_owner, url, found, side_of(found, "good"))
    row.refresh_from_db()
    assert (row.answer, row.rejected) == ("by a person", "")
    assert pairs(todo.run.goal).get().answer == "good 300"


def test_the_answer_of_the_row_itself_is_made_a_pair_not_a_repeat(ready, owner, as_owner, url):
    run = started(ready, owner)
    one = run.answer_pairs.select_related("example").first()
    record(run, one, first=one.example.answer, second="bad")
    rows = ready.dataset.examples.count()
    found = shown_to(as_owner, url)
    press(as_owner, url, found, side_of(found, one.example.answer))
    row = Example.objects.get(pk=one.example_id)
    assert (row.answer, row.rejected) == (one.example.answer, "bad")
    assert ready.dataset.examples.count() == rows


def test_b_is_chosen_as_well_as_a(run, as_owner, url):
    for side in "ab":
        found = shown_to(as_owner, url)
        press(as_owner, url, found, side)
        found.refresh_from_db()
        assert found.made.answer == found.sides[side]
        assert found.made.rejected == found.sides["b" if side == "a" else "a"]


def test_the_sides_are_drawn(run):
    assert {one.swapped for one in run.answer_pairs.all()} == {True, False}


def test_neither_makes_nothing(run, as_owner, url):
    found = shown_to(as_owner, url)
    press(as_owner, url, found, "neither")
    assert not pairs(run.goal).exists()
    assert shown_to(as_owner, url) != found
    assert "1 of 20 chosen" in text(as_owner.get(url("choose")))


def test_a_second_click_changes_nothing(run, as_owner, url):
    found = choose_good(as_owner, url)
    press(as_owner, url, found, side_of(found, "bad"))
    press(as_owner, url, found, "neither")
    assert pairs(run.goal).get() == found.made
    assert pairs(run.goal).get().answer.startswith("good")


def test_an_unknown_button_or_pair_is_refused(run, as_owner, url):
    found = shown_to(as_owner, url)
    assert press(as_owner, url, found, "both").status_code == 400
    assert as_owner.post(url("choose"), {"better": "a"}).status_code == 400
    assert as_owner.post(url("choose"), {"better": "a", "pair": "999999"}).status_code == 404
    assert not pairs(run.goal).exists()


def test_two_people_never_see_the_same_prompt(run, as_owner, as_editor, url):
    seen = []
    for _turn in range(5):
        for client in (as_owner, as_editor):
            found = shown_to(client, url)
            assert shown_to(client, url) == found  # a reload shows the same one
            seen.append(found.pk)
        for client in (as_owner, as_editor):
            choose_good(client, url)
    assert len(seen) == len(set(seen)) == 10
    assert pairs(run.goal).count() == 10


def test_a_prompt_that_somebody_left_comes_to_others(run, as_owner, as_editor, url):
    left = shown_to(as_owner, url)
    run.answer_pairs.exclude(pk=left.pk).update(state=AnswerPair.State.NEITHER)
    waiting = as_editor.get(url("choose"))
    assert "Somebody else is looking at the last ones." in text(waiting)
    AnswerPair.objects.filter(pk=left.pk).update(held_until=timezone.now())
    assert shown_to(as_editor, url) == left


def test_of_two_people_on_one_prompt_the_first_choice_stands(run, as_owner, as_editor, url):
    found = choose_good(as_owner, url)
    reply = press(as_editor, url, found, side_of(found, "bad"))
    assert reply.status_code == 409
    assert "Their choice stands" in text(reply)
    assert pairs(run.goal).get().answer.startswith("good")


@pytest.mark.parametrize("what", ["test", "changed", "test prompt", "set aside"])
def test_what_may_not_be_learned_any_more_makes_no_pair(run, as_owner, owner, url, what):
    """The row went into the test, or aside, or was changed, while the answers were on the page."""
    found = shown_to(as_owner, url)
    row = found.example
    if what == "test":
        Example.objects.filter(pk=row.pk).update(split="test")
    elif what == "test prompt":
        add(row.dataset, owner, 0, prompt=row.prompt, split="test")
    elif what == "set aside":
        Example.objects.filter(pk=row.pk).update(status=Status.SET_ASIDE)
    else:
        row.set_messages([{"role": "user", "content": "Another"}, *row.messages[1:]])
        row.save()
    press(as_owner, url, found, side_of(found, "good"))
    assert not pairs(run.goal).exists()
    assert "nothing was learned from your choice" in text(as_owner.get(url("choose")))
    found.refresh_from_db()
    assert found.state == AnswerPair.State.GONE


def test_a_row_in_the_trash_is_not_shown(run, as_owner, url):
    found = shown_to(as_owner, url)
    Example.objects.filter(pk=found.example_id).update(deleted_at=timezone.now())
    assert shown_to(as_owner, url) != found


def test_the_whole_conversation_is_shown(ready, owner, as_owner, url):
    ready.dataset.examples.update(status=Status.SET_ASIDE)
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Which bikes can I hire?"},
        {"role": "assistant", "content": "Two: Dawes or Giant."},
        {"role": "user", "content": "The second one."},
        {"role": "assistant", "content": "topic: hire"},
    ]
    row = add(ready.dataset, owner, 0)
    row.set_messages(messages)
    row.save()
    run = started(ready, owner)
    record(run, run.answer_pairs.get())
    page = text(as_owner.get(url("choose")))
    for turn in messages[:-1]:
        assert turn["content"] in page
    assert "topic: hire" not in page  # its own answer would give away what is wanted
    press(as_owner, url, run.answer_pairs.get(), "a")
    assert pairs(ready).get().messages[:-1] == messages[:-1]


def test_only_editors_choose(run, as_owner, as_viewer, as_stranger, url):
    found = shown_to(as_owner, url)
    for client, status in ((as_viewer, 403), (as_stranger, 404)):
        assert client.get(url("choose")).status_code == status
        assert press(client, url, found, "a").status_code == status
        for name in ("undo", "freeze"):
            assert client.post(url(name)).status_code == status
        assert client.get(url("write", found.pk, "a")).status_code == status
        assert client.post(url("write", found.pk, "a"), {"text": "x"}).status_code == status
    assert as_owner.put(url("choose")).status_code == 405
    for name in ("undo", "freeze"):
        assert as_owner.get(url(name)).status_code == 405
    assert not pairs(run.goal).exists()


def test_without_a_run_there_is_nothing_to_choose(ready, as_owner, url):
    assert as_owner.get(url("choose"))["Location"] == url("page")
    assert as_owner.post(url("choose"), {"better": "a"})["Location"] == url("page")
    assert as_owner.post(url("undo")).status_code == 404
