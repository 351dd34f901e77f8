"""Accepting a suggestion in place of the typed text, and undoing it."""

import re

import pytest

from finetune_app.datasets.models import BY_A_PERSON, Split, Status, Suggestion
from finetune_app.labelling import suggestions
from finetune_app.labelling.models import Draft
from tests.labelling.helpers import add_pending_rows, markup, press_button, row, send_draft

BOX = re.compile(r'<textarea[^>]*id="text"[^>]*>\n(.*?)</textarea>', re.DOTALL)


@pytest.fixture
def waiting(dataset, owner):
    """Three rows to do, the first with a suggestion."""
    add_pending_rows(dataset, owner, 3)
    add_suggestion(dataset)
    return dataset


def add_suggestion(dataset, answer: str = "topic: bell") -> Suggestion:
    made = suggestions.add_suggestion(
        example_id=row(dataset, 1).pk, candidate_id=1, source="Tiny", answer=answer
    )
    assert made is not None
    return made


def open_row(client, url, query: str = "") -> tuple[str, str]:
    """The page of row 1, and the text in its box."""
    response = client.get(url("row", number=1) + query)
    found = BOX.search(response.content.decode())
    return markup(response), found.group(1) if found else ""


SUGGESTED_BESIDE = "Suggested by Tiny</h2>"


def test_a_suggestion_fills_an_empty_box(as_owner, url, waiting):
    page, box = open_row(as_owner, url)
    assert box == "topic: bell"
    assert "It counts only once you accept it." in page
    assert SUGGESTED_BESIDE not in page


def test_a_suggestion_is_shown_beside_typed_text(as_owner, url, waiting):
    send_draft(as_owner, url, waiting, 1, "half a sen")
    page, box = open_row(as_owner, url)
    assert box == "half a sen"
    assert SUGGESTED_BESIDE in page
    assert "topic: bell" in page
    assert 'value="take"' in page
    assert "It counts only once you accept it." not in page


def test_a_suggestion_is_shown_beside_a_saved_draft(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="draft", answer="perhaps gears")
    page, box = open_row(as_owner, url, "?queue=draft")
    assert box == "perhaps gears"
    assert SUGGESTED_BESIDE in page
    assert "Accept <kbd" not in page  # Enter saves the user's own text


def test_other_users_still_see_the_suggestion(as_owner, as_editor, url, waiting):
    send_draft(as_owner, url, waiting, 1, "half a sen")
    page, box = open_row(as_editor, url)
    assert box == "topic: bell"
    assert SUGGESTED_BESIDE not in page


def test_a_viewer_has_no_buttons(as_viewer, url, waiting):
    assert 'value="take"' not in open_row(as_viewer, url)[0]
    assert press_button(as_viewer, url, waiting, 1, do="take").status_code == 403


def test_accepting_a_suggestion_does_not_save_the_row(as_owner, url, waiting):
    reply = press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    assert reply.url == url("row", number=1)
    page, box = open_row(as_owner, url)
    assert box == "topic: bell"
    assert "Accepted the suggestion for No. 1" in page
    assert "It counts only once you accept it." in page
    assert (row(waiting, 1).answer, row(waiting, 1).status) == ("", Status.PENDING)
    press_button(as_owner, url, waiting, 1, do="save", answer="topic: bell")
    assert row(waiting, 1).answer == "topic: bell"
    assert Suggestion.objects.get().state == Suggestion.State.TAKEN
    assert not Draft.objects.exists()


def test_undo_swaps_the_text_and_the_suggestion(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    send_draft(as_owner, url, waiting, 1, "topic: bells")  # edited after accepting
    reply = as_owner.post(url("undo_last"))
    assert reply.url == url("row", number=1)
    page, box = open_row(as_owner, url)
    assert box == "half a sen"
    assert "Undone. The text that was in the box of No. 1 before is back." in page
    assert SUGGESTED_BESIDE in page
    as_owner.post(url("undo_last"), {"draft": Draft.objects.get().pk})
    assert open_row(as_owner, url)[1] == "topic: bells"


def test_undo_reverts_the_newest_action_first(as_owner, url, waiting):
    """A suggestion is accepted in row 1, then row 2 is answered; undo reverts the answer first."""
    press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    press_button(as_owner, url, waiting, 2, do="save", answer="gears")
    assert as_owner.post(url("undo_last")).url == url("row", number=2)
    assert open_row(as_owner, url)[1] == "topic: bell"
    assert as_owner.post(url("undo_last")).url == url("row", number=1)
    assert open_row(as_owner, url)[1] == "half a sen"
    reply = as_owner.post(url("undo_last"), follow=True)
    assert "There is nothing of yours to undo." in reply.content.decode()


def test_undo_restores_a_saved_draft(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="draft", answer="perhaps gears")
    press_button(as_owner, url, waiting, 1, "?queue=draft", do="take", answer="perhaps gears")
    assert open_row(as_owner, url)[1] == "topic: bell"
    assert row(waiting, 1).answer == "perhaps gears"
    as_owner.post(url("undo_last"))
    page, box = open_row(as_owner, url)
    assert box == "perhaps gears"
    assert "You typed this and have not saved it yet" not in page


def test_clearing_the_box_loses_no_text(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    send_draft(as_owner, url, waiting, 1, "")
    as_owner.post(url("undo_last"))
    assert open_row(as_owner, url)[1] == "half a sen"


def test_dismissing_a_suggestion_keeps_the_typed_text(as_owner, url, waiting):
    reply = press_button(as_owner, url, waiting, 1, do="dismiss", answer="half a sen")
    assert reply.url == url("row", number=1)
    page, box = open_row(as_owner, url)
    assert box == "half a sen"
    assert "topic: bell" not in page


def test_a_newer_suggestion_is_shown_beside_the_accepted_one(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    add_suggestion(waiting, "topic: chain")
    page, box = open_row(as_owner, url)
    assert box == "topic: bell"
    assert "topic: chain" in page
    assert SUGGESTED_BESIDE in page


def move_to_test(dataset) -> None:
    dataset.examples.filter(number=1).update(split=Split.TEST)


def test_a_row_of_the_test_shows_no_suggestion_of_a_model(as_owner, url, waiting):
    """Not even one that was made before the row was moved there."""
    move_to_test(waiting)
    page, box = open_row(as_owner, url)
    assert box == ""
    assert "topic: bell" not in page
    reply = press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    assert reply.status_code == 422
    assert not Draft.objects.filter(took=True).exists()


def test_a_row_of_the_test_is_not_listed_as_suggested(as_owner, dataset_url, waiting):
    listed, prompt = dataset_url("page") + "?suggested=1", row(waiting, 1).prompt
    assert prompt in as_owner.get(listed).content.decode()
    move_to_test(waiting)
    assert prompt not in as_owner.get(listed).content.decode()


def test_what_a_person_proposed_is_shown_in_the_test_too(as_owner, url, waiting):
    """Somebody who used the model said what would have been right: no model wrote that."""
    Suggestion.objects.update(candidate_id=BY_A_PERSON)
    move_to_test(waiting)
    assert open_row(as_owner, url)[1] == "topic: bell"


def test_a_deleted_suggestion_is_reported(as_owner, url, waiting):
    Suggestion.objects.all().delete()
    reply = press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    assert reply.status_code == 422
    page = markup(reply)
    assert "This suggestion is gone. What you typed is still here." in page
    assert "half a sen" in page


def test_a_row_changed_by_somebody_else_is_shown_first(as_owner, as_editor, url, waiting):
    seen = row(waiting, 1).changed_at.isoformat()
    press_button(as_editor, url, waiting, 1, do="draft", answer="gears")
    form = {"seen": seen, "do": "take", "answer": "half a sen"}
    reply = as_owner.post(url("row", number=1), form)
    assert reply.status_code == 422
    assert "Jonas changed this row just now." in reply.content.decode()


def test_a_user_cannot_undo_for_another_one(as_owner, as_editor, as_stranger, url, waiting):
    press_button(as_owner, url, waiting, 1, do="take", answer="half a sen")
    named = {"draft": Draft.objects.get().pk}
    reply = as_editor.post(url("undo_last"), named, follow=True)
    assert "There is nothing of yours to undo." in reply.content.decode()
    assert as_stranger.post(url("undo_last"), named).status_code == 404
    assert open_row(as_owner, url)[1] == "topic: bell"


def test_with_labels_the_suggested_button_is_marked(as_owner, url, waiting):
    waiting.labels = ["topic: bell", "topic: gears"]
    waiting.save()
    send_draft(as_owner, url, waiting, 1, "half a sen")
    page, _box = open_row(as_owner, url)
    assert "<small>suggested</small>" in page
    assert SUGGESTED_BESIDE in page
