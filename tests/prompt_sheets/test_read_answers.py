"""Answers are read without names, marked and noted; then each person shows the names, once."""

import pytest

from finetune_app.prompt_sheets.models import Mark, Reading, SheetNote
from tests.prompt_sheets.conftest import place_of, record, started

NAMES = ("With a good prompt", "Tuned")


@pytest.fixture
def at(as_editor, url, sheet):
    """The page of a prompt, as the editor sees it."""
    return lambda index=0: as_editor.get(url("detail", sheet.pk), {"at": index}).content.decode()


def mark(client, url, sheet, index: int, kind: str):
    """Prefer the answer of this kind of candidate, or "none"."""
    answer = kind if kind == "none" else place_of(sheet, index, kind)
    return client.post(url("mark", sheet.pk, index), {"answer": answer})


def test_all_answers_stand_beside_each_other_without_names(at, sheet):
    page = at(1)
    assert "Where is my helmet?" in page
    assert all(f"{kind} 1" in page for kind in ("base", "prompt", "tuned"))
    assert not any(name in page for name in NAMES)
    assert "Without wanted answers no measure counts here." in page


def test_they_stand_in_the_order_that_was_drawn(at, sheet):
    page = at(2)
    kinds = sorted(("base", "prompt", "tuned"), key=lambda kind: place_of(sheet, 2, kind))
    places = [page.index(f"{kind} 2") for kind in kinds]
    assert places == sorted(places)


def test_a_mark_goes_on_to_the_next_prompt_and_can_be_changed(as_editor, editor, url, sheet, at):
    assert mark(as_editor, url, sheet, 0, "base")["Location"] == url("detail", sheet.pk) + "?at=1"
    mark(as_editor, url, sheet, 0, "tuned")
    one = Mark.objects.get()
    assert (one.reading.by, one.preferred.kind, one.prompt.index) == (editor, "tuned", 0)
    assert "you preferred this" in at(0)
    assert "1 of 3 marked" in at(0)
    mark(as_editor, url, sheet, 0, "none")
    assert Mark.objects.get().preferred is None
    assert "you preferred none" in at(0)
    assert mark(as_editor, url, sheet, 2, "none")["Location"].endswith("?at=2"), "the last one"


@pytest.mark.parametrize("answer", ["", "3", "-1", "tuned"])
def test_a_mark_for_no_answer_is_refused(as_editor, url, sheet, answer):
    assert as_editor.post(url("mark", sheet.pk, 0), {"answer": answer}).status_code == 400
    assert not Mark.objects.exists()


def test_there_is_no_fourth_prompt(as_editor, url, sheet, at):
    assert as_editor.post(url("mark", sheet.pk, 3), {"answer": "none"}).status_code == 404
    assert as_editor.post(url("note", sheet.pk, 3), {"text": "x"}).status_code == 404
    assert "Prompt 1 of 3" in at(3)
    assert "Prompt 1 of 3" in at("x")


def test_the_names_are_shown_once_and_marks_are_final_from_then_on(as_editor, url, sheet, at):
    mark(as_editor, url, sheet, 0, "tuned")
    mark(as_editor, url, sheet, 1, "tuned")
    mark(as_editor, url, sheet, 2, "none")
    assert "decides nothing" not in at(0), "no tally without names"
    as_editor.post(url("show_names", sheet.pk))
    page = at(0)
    assert all(name in page for name in NAMES)
    assert "It decides nothing" in page
    assert "I prefer" not in page
    assert mark(as_editor, url, sheet, 0, "base").status_code == 409
    assert Mark.objects.get(prompt__index=0).preferred.kind == "tuned"
    first = Reading.objects.get().names_shown_at
    as_editor.post(url("show_names", sheet.pk))
    assert Reading.objects.get().names_shown_at == first


def test_the_tally_counts_what_one_person_preferred(as_editor, url, sheet):
    mark(as_editor, url, sheet, 0, "tuned")
    mark(as_editor, url, sheet, 1, "none")
    as_editor.post(url("show_names", sheet.pk))
    (tally,) = as_editor.get(url("detail", sheet.pk)).context["tallies"]
    assert tally.counts == [
        ("Base model", 0),
        ("With a good prompt", 0),
        ("Tuned", 1),
        ("None of them", 1),
    ]
    assert tally.marked == 2


def test_each_person_reads_for_themselves(as_editor, as_owner, url, sheet, at):
    """What one has seen does not end another's blindness, nor do their marks and notes tell."""
    mark(as_owner, url, sheet, 0, "tuned")
    as_owner.post(url("note", sheet.pk, 0), {"text": "The tuned one is curt."})
    as_owner.post(url("show_names", sheet.pk))
    page = at(0)
    assert not any(name in page for name in NAMES)
    assert "curt" not in page
    assert "0 of 3 marked" in page
    as_editor.post(url("show_names", sheet.pk))
    page = at(0)
    assert "curt" in page
    assert "Mara, on 1 prompt" in page


def test_a_note_of_somebody_who_still_marks_is_not_shown_to_others(as_editor, as_owner, url, sheet):
    as_editor.post(url("note", sheet.pk, 0), {"text": "B is curt."})
    as_owner.post(url("show_names", sheet.pk))
    assert "B is curt." not in as_owner.get(url("detail", sheet.pk)).content.decode()


def test_a_note_is_saved_changed_and_taken_back(as_editor, url, sheet, at):
    as_editor.post(url("note", sheet.pk, 1), {"text": " A is <b>curt</b>.\0 "})
    assert "A is &lt;b&gt;curt&lt;/b&gt;." in at(1)
    assert "curt" not in at(0)
    reply = as_editor.post(url("note", sheet.pk, 1), {"text": "A is fine."})
    assert reply["Location"] == url("detail", sheet.pk) + "?at=1"
    assert SheetNote.objects.get().text == "A is fine."
    as_editor.post(url("note", sheet.pk, 1), {"text": "x" * 2001})
    assert SheetNote.objects.get().text == "A is fine."
    as_editor.post(url("note", sheet.pk, 1), {"text": ""})
    assert not SheetNote.objects.exists()


def test_viewers_mark_nothing_and_see_the_names(as_viewer, url, sheet):
    page = as_viewer.get(url("detail", sheet.pk)).content.decode()
    assert all(name in page for name in NAMES)
    assert "I prefer" not in page
    assert "Your note" not in page


def test_nothing_is_marked_before_all_is_answered(as_editor, url, trained, owner):
    waiting = started(trained, owner, "tuned")
    assert as_editor.post(url("mark", waiting.pk, 0), {"answer": "0"}).status_code == 409
    assert as_editor.post(url("note", waiting.pk, 0), {"text": "x"}).status_code == 409
    assert as_editor.post(url("show_names", waiting.pk)).status_code == 409
    assert not Reading.objects.exists()


def test_an_answer_that_could_not_be_given_says_why_and_an_empty_one_that_it_is(at, sheet):
    base, prompt, _tuned = sheet.ordered_candidates()
    record(sheet, base, 0, "", refused=True, why="The prompt is too long for it.")
    record(sheet, prompt, 0, " ")
    page = at(0)
    assert "The prompt is too long for it." in page
    assert "It said nothing." in page


def test_a_sheet_belongs_to_its_goal(as_owner, url, sheet, team):
    other = team.goals.create(name="Another", description="Another.")
    for name in ("detail", "stop", "delete"):
        path = url(name, sheet.pk).replace(f"/goals/{sheet.goal_id}/", f"/goals/{other.pk}/")
        method = as_owner.get if name == "detail" else as_owner.post
        assert method(path).status_code == 404
