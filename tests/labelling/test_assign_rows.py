"""Several people label one dataset: assigned rows, two independent answers, disagreements."""

import re

import pytest

from finetune_app.accounts.services import delete_account
from finetune_app.datasets.models import Example, Label, Status
from finetune_app.datasets.services import undo
from finetune_app.labelling import agreement, queues, suggestions
from finetune_app.labelling.answers import answer_row
from tests.labelling.helpers import (
    add_answered_rows,
    add_pending_rows,
    markup,
    press_button,
    row,
)


@pytest.fixture
def waiting(dataset, owner, editor):
    add_pending_rows(dataset, owner, 6)
    return dataset


@pytest.fixture
def two_answers(waiting, as_owner, url):
    """A dataset in which every row needs two answers."""
    reply = as_owner.post(url("save_share"), {"percent": "100"})
    assert reply.url == url("assignment")
    waiting.refresh_from_db()
    return waiting


def box(client, url) -> str:
    """The text in the box of the first row."""
    page = client.get(url("row", number=1)).content.decode()
    return re.search(r"<textarea[^>]*>(.*?)</textarea>", page, re.DOTALL)[1]


# ---- Assigned rows ----


def test_rows_are_split_evenly(as_owner, as_editor, owner, editor, url, waiting):
    as_owner.post(url("assign"), {"even": "1"})
    theirs = {
        who: list(waiting.examples.filter(assigned_to=who).values_list("number", flat=True))
        for who in (owner, editor)
    }
    assert sorted(len(numbers) for numbers in theirs.values()) == [3, 3]
    assert as_owner.get(url("start")).url == url("row", number=theirs[owner][0])
    assert as_editor.get(url("start")).url == url("row", number=theirs[editor][0])
    page = as_editor.get(url("row", number=theirs[editor][0])).content.decode()
    assert "for Jonas" in page
    for number in theirs[owner]:
        reply = press_button(as_owner, url, waiting, number, do="save", answer="bell")
    page = as_owner.get(reply.url).content.decode()
    assert "You have answered all your rows." in page
    assert "3 rows wait for somebody else." in page
    everybody = as_owner.get(url("start") + "?whose=all")
    assert everybody.url == url("row", number=theirs[editor][0]) + "?whose=all"


def test_rows_are_assigned_and_unassigned(as_owner, editor, url, waiting):
    as_owner.post(url("assign"), {"give": editor.pk, "rows": "4"})
    assert waiting.examples.filter(assigned_to=editor).count() == 4
    mine = queues.rows_in_queue(waiting, editor, queues.QueueFilter(queues.TODO, queues.MINE))
    assert mine.count() == 4
    as_owner.post(url("assign"), {"back": editor.pk})
    assert not waiting.examples.exclude(assigned_to=None).exists()


def test_viewers_are_assigned_no_rows(as_owner, viewer, stranger, url, waiting):
    reply = as_owner.post(url("assign"), {"give": viewer.pk, "rows": "4"})
    assert reply.status_code == 422
    assert as_owner.post(url("assign"), {"give": stranger.pk}).status_code == 404
    assert as_owner.post(url("assign"), {}).status_code == 422


def test_assigning_rows_does_not_interrupt_a_user(as_owner, as_editor, url, waiting):
    seen = row(waiting, 1).changed_at.isoformat()
    as_owner.post(url("assign"), {"even": "1"})
    reply = as_editor.post(url("row", number=1), {"seen": seen, "do": "save", "answer": "bell"})
    assert reply.status_code == 302


# ---- Two answers ----


def test_the_first_of_two_answers_is_hidden_from_others(
    as_owner, as_editor, url, dataset_url, two_answers
):
    reply = press_button(as_owner, url, two_answers, 1, do="save", answer="xylophone")
    assert reply.url == url("row", number=2)  # done for them
    assert row(two_answers, 1).status == Status.PENDING
    assert row(two_answers, 1).answer == ""
    pages = [url("row", number=1)]
    pages += [dataset_url(name, number=1) for name in ("history", "example")]
    for page in pages:
        assert "xylophone" not in as_editor.get(page).content.decode()
    assert as_editor.get(url("start")).url == url("row", number=1)  # to do for them


def test_a_row_put_back_shows_nobody_its_old_answer(as_owner, as_editor, url, two_answers):
    """Who answers it again sees their own answer alone: the old one would draw both to it."""
    for client in (as_owner, as_editor):
        press_button(client, url, two_answers, 1, do="save", answer="bell")
    press_button(as_owner, url, two_answers, 1, do="again", answer="bell")
    assert row(two_answers, 1).status == Status.PENDING
    assert "bell" not in box(as_owner, url)
    press_button(as_owner, url, two_answers, 1, do="save", answer="gears")
    assert "gears" in box(as_owner, url)
    assert "bell" not in box(as_editor, url)
    press_button(as_editor, url, two_answers, 1, do="save", answer="chain")
    assert row(two_answers, 1).status == Status.DISPUTED
    assert "gears" in box(as_owner, url)


def test_what_somebody_changed_after_both_agreed_is_in_the_box(
    as_owner, as_editor, url, two_answers
):
    for client in (as_owner, as_editor):
        press_button(client, url, two_answers, 1, do="save", answer="bell")
    press_button(as_editor, url, two_answers, 1, "?queue=done", do="save", answer="gears")
    assert "gears" in box(as_owner, url)


def test_equal_answers_approve_the_row(as_owner, as_editor, url, two_answers):
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    press_button(as_editor, url, two_answers, 1, do="save", answer="bell ")
    assert row(two_answers, 1).status == Status.APPROVED
    assert row(two_answers, 1).answer.strip() == "bell"


def test_different_answers_are_settled(
    as_owner, as_editor, as_viewer, url, dataset_url, two_answers
):
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    press_button(as_editor, url, two_answers, 1, do="save", answer="gears")
    assert row(two_answers, 1).status == Status.DISPUTED
    assert not two_answers.examples.usable().exists()
    assert "1 disagreement is to be settled." in as_owner.get(dataset_url("page")).content.decode()
    page = as_owner.get(url("row", number=1) + "?queue=disputed").content.decode()
    assert "Take Mara’s" in page
    assert "Take Jonas’s" in page
    reply = press_button(as_owner, url, two_answers, 1, "?queue=disputed", label="gears")
    assert reply.url == url("start") + "?queue=disputed"
    assert (row(two_answers, 1).answer, row(two_answers, 1).status) == ("gears", Status.APPROVED)
    history = as_viewer.get(dataset_url("history", number=1)).content.decode()
    assert "Settled No. 1" in history
    as_owner.post(url("undo_last"))
    assert row(two_answers, 1).status == Status.DISPUTED
    assert row(two_answers, 1).answer == ""


def test_undo_removes_one_label_only(as_owner, as_editor, owner, editor, url, two_answers):
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    press_button(as_editor, url, two_answers, 1, do="save", answer="gears")
    as_editor.post(url("undo_last"))
    assert row(two_answers, 1).status == Status.PENDING
    assert list(Label.objects.values_list("by", "answer")) == [(owner.pk, "bell")]
    undo(edit=two_answers.edits.first(), by=editor)  # and again
    assert row(two_answers, 1).status == Status.DISPUTED
    assert Label.objects.filter(by=editor, answer="gears").exists()


def test_the_first_answer_can_be_changed(as_owner, url, two_answers, owner):
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    page = as_owner.get(url("row", number=1)).content.decode()
    assert "It waits for a second person" in page
    press_button(as_owner, url, two_answers, 1, do="save", answer="gears")
    assert list(Label.objects.values_list("by", "answer")) == [(owner.pk, "gears")]


def test_a_third_answer_is_rejected(as_owner, as_editor, url, two_answers, team):
    from tests.conftest import person, signed_in

    third = signed_in(person("tom@kettle.example", team))
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    seen = row(two_answers, 1).changed_at.isoformat()
    press_button(as_editor, url, two_answers, 1, do="save", answer="bell")
    reply = third.post(url("row", number=1), {"seen": seen, "do": "save", "answer": "fork"})
    assert reply.status_code == 422
    assert row(two_answers, 1).answer == "bell"


def test_rows_with_two_answers_get_no_suggestion(two_answers):
    one = row(two_answers, 1)
    suggestions.add_suggestion(example_id=one.pk, candidate_id=1, source="Tiny", answer="bell")
    assert suggestions.visible_suggestion(one) is None
    assert suggestions.rows_without_suggestion(two_answers, 2, 10) == []


def test_rows_with_two_answers_are_always_the_same(dataset, owner):
    dataset.twice_percent = 20
    dataset.save()
    add_pending_rows(dataset, owner, 100)
    twice = [one.number for one in dataset.examples.all() if queues.needs_two_answers(one)]
    assert 8 <= len(twice) <= 32
    assert twice == [one.number for one in dataset.examples.all() if queues.needs_two_answers(one)]


def test_first_answers_count_once_one_person_is_enough(as_owner, as_editor, url, two_answers):
    for number, answer in enumerate(("bell", "gears", "chain"), start=1):
        press_button(as_owner, url, two_answers, number, do="save", answer=answer)
    as_owner.post(url("save_share"), {"percent": "0"})
    done = two_answers.examples.filter(status=Status.APPROVED).order_by("number")
    assert list(done.values_list("answer", flat=True)) == ["bell", "gears", "chain"]
    for client in (as_owner, as_editor):
        assert client.get(url("start")).url == url("row", number=4)
    edit = two_answers.edits.first()
    assert edit.what == "One answer is enough now: the first one counts"


def test_first_answers_go_on_waiting_where_two_are_still_needed(as_owner, url, two_answers):
    for number in range(1, 7):
        press_button(as_owner, url, two_answers, number, do="save", answer="bell")
    as_owner.post(url("save_share"), {"percent": "50"})
    two_answers.refresh_from_db()
    waiting = two_answers.examples.filter(status=Status.PENDING)
    assert 0 < waiting.count() < 6
    assert all(queues.needs_two_answers(one) for one in waiting)


def test_a_row_that_needs_one_answer_is_to_do_for_who_gave_it(
    as_owner, as_editor, url, two_answers
):
    """An undone change of the share leaves rows with one answer, and nobody else waits for them."""
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    as_owner.post(url("save_share"), {"percent": "0"})
    undo(edit=two_answers.edits.first(), by=None)
    assert row(two_answers, 1).status == Status.PENDING
    assert as_owner.get(url("start")).url == url("row", number=1)


def leave_the_team(as_owner, as_editor, membership) -> None:
    as_editor.post("/team/leave/")


def be_removed(as_owner, as_editor, membership) -> None:
    as_owner.post(f"/team/members/{membership.pk}/remove/")


def become_a_viewer(as_owner, as_editor, membership) -> None:
    as_owner.post(f"/team/members/{membership.pk}/role/", {"role": "viewer"})


def delete_the_account(as_owner, as_editor, membership) -> None:
    delete_account(user=membership.user)


@pytest.mark.parametrize("leave", [leave_the_team, be_removed, become_a_viewer, delete_the_account])
def test_no_row_waits_for_somebody_who_left(leave, as_owner, as_editor, editor, url, two_answers):
    """The only other editor goes: their rows are anybody's, and one answer is enough."""
    as_owner.post(url("assign"), {"give": editor.pk, "rows": "4"})
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    leave(as_owner, as_editor, editor.memberships.get())
    assert not two_answers.examples.exclude(assigned_to=None).exists()
    assert (row(two_answers, 1).answer, row(two_answers, 1).status) == ("bell", Status.APPROVED)
    two_answers.refresh_from_db()
    assert two_answers.twice_percent == 0
    assert as_owner.get(url("start")).url == url("row", number=2)


def test_two_answers_are_needed_while_two_people_are_left(
    as_owner, as_viewer, viewer, owner, url, two_answers
):
    press_button(as_owner, url, two_answers, 1, do="save", answer="bell")
    as_viewer.post("/team/leave/")
    assert row(two_answers, 1).status == Status.PENDING
    two_answers.refresh_from_db()
    assert two_answers.twice_percent == 100


def test_who_is_alone_can_still_choose_one_answer(as_owner, url, dataset):
    dataset.twice_percent = 20
    dataset.save()
    page = markup(as_owner.get(url("assignment")))
    assert 'name="percent"> <option value="0">' in page
    assert page.count(" disabled") == 4  # the shares above it
    assert '<option value="10" disabled>' in page
    as_owner.post(url("save_share"), {"percent": "0"})
    dataset.refresh_from_db()
    assert dataset.twice_percent == 0


def test_two_people_are_needed(as_owner, url, dataset):
    reply = as_owner.post(url("save_share"), {"percent": "20"})
    assert reply.status_code == 422
    assert "This needs two people" in reply.content.decode()
    assert as_owner.post(url("save_share"), {"percent": "33"}).status_code == 422
    assert as_owner.post(url("save_share"), {}).status_code == 422
    assert (
        "You are the only one who can answer." in as_owner.get(url("assignment")).content.decode()
    )


# ---- Agreement ----


def test_alpha_matches_the_published_example():
    """Two coders, ten units, nominal: Krippendorff (2011), Computing Krippendorff's
    alpha-reliability, example B, without the unit that one coder left out."""
    meg = ["a", "a", "b", "b", "d", "c", "c", "c", "e", "d", "d", "a"]
    owen = ["b", "a", "b", "b", "b", "c", "c", "c", "e", "d", "d", "d"]
    alpha = agreement.krippendorff_alpha([list(two) for two in zip(meg, owen, strict=True)])
    assert alpha == pytest.approx(0.692, abs=0.001)


def test_alpha_is_undefined_for_one_distinct_answer():
    assert agreement.krippendorff_alpha([["a", "a"]] * 12) is None
    assert agreement.krippendorff_alpha([["a", "b"]] * 12) < 0


def test_the_page_describes_the_agreement(as_viewer, owner, editor, url, dataset):
    add_answered_rows(dataset, owner, ["bell", "gears"] * 6)
    for at, one in enumerate(Example.objects.all()):
        Label.objects.create(example=one, by=owner, answer=one.answer)
        Label.objects.create(example=one, by=editor, answer="bell" if at == 1 else one.answer)
    page = as_viewer.get(url("assignment")).content.decode()
    assert "You agree well" in page
    assert "The same answer on 11 of 12 rows." in page
    assert "0.84" in page


def test_agreement_is_found_behind_rows_with_one_answer(monkeypatch, owner, editor, dataset):
    """The queues go upwards: the newest rows are those that only one of two has answered."""
    monkeypatch.setattr(agreement, "MAX_ROWS", 2)
    add_answered_rows(dataset, owner, ["bell"] * 10)
    for number, one in enumerate(Example.objects.order_by("pk")):
        Label.objects.create(example=one, by=owner, answer="bell")
        if number < 3:
            Label.objects.create(example=one, by=editor, answer="gears" if number else "bell")
    measured = agreement.measure_agreement(dataset)
    assert (measured.rows, measured.same) == (2, 0)  # the newest of the three


def test_only_editors_assign_rows(as_viewer, as_stranger, as_owner, url, waiting):
    for name in ("save_share", "assign"):
        assert as_viewer.post(url(name), {"even": "1", "percent": "10"}).status_code == 403
        assert as_stranger.post(url(name)).status_code == 404
        assert as_owner.get(url(name)).status_code == 405
    assert as_viewer.get(url("assignment")).status_code == 200
    assert as_stranger.get(url("assignment")).status_code == 404
    assert as_owner.post(url("assignment")).status_code == 405


def test_the_second_answer_is_not_stale_for_the_first(owner, editor, two_answers):
    """Both users have the row open; the first answer does not make the second one stale."""
    one = row(two_answers, 1)
    answer_row(example=one, by=owner, text="bell", seen=one.changed_at)
    answer_row(example=one, by=editor, text="bell", seen=one.changed_at)
    assert row(two_answers, 1).status == Status.APPROVED
