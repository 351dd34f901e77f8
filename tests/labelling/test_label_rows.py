"""Labelling rows one at a time, in queues, without losing typed text."""

import pytest

from finetune_app.datasets.label_sets import with_every_label
from finetune_app.datasets.models import Status
from finetune_app.labelling import class_labels
from finetune_app.labelling.models import Draft
from tests.labelling.helpers import (
    add_answered_rows,
    add_pending_rows,
    markup,
    press_button,
    row,
    send_draft,
)


@pytest.fixture
def waiting(dataset, owner):
    add_pending_rows(dataset, owner, 3)
    return dataset


def test_labelling_starts_with_the_first_row_to_do(as_owner, url, waiting):
    reply = as_owner.get(url("start"))
    assert reply.url == url("row", number=1)
    page = as_owner.get(reply.url).content.decode()
    assert row(waiting, 1).prompt in page
    assert "0 of 3 done" in page


def test_an_answer_approves_the_row_and_shows_the_next(as_owner, owner, url, waiting):
    reply = press_button(as_owner, url, waiting, 1, do="save", answer="topic: bell\r\ndue: today")
    assert reply.url == url("row", number=2)
    found = row(waiting, 1)
    assert (found.answer, found.status) == ("topic: bell\ndue: today", Status.APPROVED)
    assert found.changed_by == owner
    page = as_owner.get(reply.url).content.decode()
    assert "Answered No. 1" in page
    assert "1 of 3 done" in page


def test_an_empty_answer_is_rejected(as_owner, url, waiting):
    reply = press_button(as_owner, url, waiting, 1, do="save", answer="  ")
    assert reply.status_code == 422
    assert "There is no answer yet." in reply.content.decode()
    assert row(waiting, 1).status == Status.PENDING


def test_a_skipped_row_returns_at_the_end(as_owner, url, waiting):
    assert press_button(as_owner, url, waiting, 1, do="skip").url == url("row", number=2)
    assert press_button(as_owner, url, waiting, 3, do="skip").url == url("row", number=1)


def test_back_shows_the_previous_row(as_owner, url, waiting):
    assert press_button(as_owner, url, waiting, 3, do="back").url == url("row", number=2)
    assert press_button(as_owner, url, waiting, 1, do="back").url == url("row", number=1)


def test_a_row_is_saved_as_draft_set_aside_and_put_back(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="draft", answer="perhaps bell")
    press_button(as_owner, url, waiting, 2, do="aside")
    assert row(waiting, 1).status == Status.DRAFT
    assert row(waiting, 2).status == Status.SET_ASIDE
    assert as_owner.get(url("start") + "?queue=draft").url == (
        url("row", number=1) + "?queue=draft"
    )
    press_button(as_owner, url, waiting, 2, "?queue=aside", do="again")
    assert row(waiting, 2).status == Status.PENDING


def test_an_empty_queue_says_what_to_do_next(as_owner, url, waiting):
    for number in (1, 2, 3):
        reply = press_button(as_owner, url, waiting, number, do="save", answer="bell")
    assert reply.url == url("start")
    page = as_owner.get(reply.url).content.decode()
    assert "Every row has an answer." in page
    assert "3 of 3 done" in page


def test_an_empty_dataset_has_nothing_to_label(as_owner, url, dataset):
    assert "There is nothing to answer yet." in as_owner.get(url("start")).content.decode()


# ---- Drafts ----


def test_typed_text_is_saved_as_a_draft(as_owner, url, waiting):
    reply = send_draft(as_owner, url, waiting, 1, "half a sen")
    assert reply.status_code == 204
    page = as_owner.get(url("row", number=1)).content.decode()
    assert "half a sen" in page
    assert "You typed this and have not saved it yet:" in page
    assert row(waiting, 1).answer == ""


def test_skipping_without_javascript_saves_a_draft(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="skip", answer="half a sen")
    assert "half a sen" in as_owner.get(url("row", number=1)).content.decode()


def test_a_draft_is_visible_to_its_user_only(as_owner, as_editor, url, waiting):
    send_draft(as_owner, url, waiting, 1, "half a sen")
    assert Draft.objects.count() == 1
    assert "half a sen" not in as_editor.get(url("row", number=1)).content.decode()


def test_saving_deletes_the_draft_and_rejects_a_late_one(as_owner, url, waiting):
    seen = row(waiting, 1).changed_at.isoformat()
    as_owner.post(url("save_draft", number=1), {"answer": "half a sen", "seen": seen})
    press_button(as_owner, url, waiting, 1, do="save", answer="half a sentence")
    assert not Draft.objects.exists()
    late = as_owner.post(url("save_draft", number=1), {"answer": "half a sent", "seen": seen})
    assert "You saved this row elsewhere." in late["HX-Trigger"]
    assert not Draft.objects.exists()


def test_text_typed_after_saving_elsewhere_stays_on_the_page(as_owner, url, waiting):
    """Save, go back in the browser, type on, skip: the text is neither lost nor a late draft."""
    seen = row(waiting, 1).changed_at.isoformat()
    press_button(as_owner, url, waiting, 1, do="save", answer="bell")
    typed = {"seen": seen, "answer": "bell, and the gears"}
    for button in ("skip", "back", "aside", "dismiss"):
        reply = as_owner.post(url("row", number=1), typed | {"do": button})
        assert reply.status_code == 422
        page = reply.content.decode()
        assert "You saved this row elsewhere. Press Save to keep this, too." in page
        assert "bell, and the gears" in page
    assert (row(waiting, 1).answer, row(waiting, 1).status) == ("bell", Status.APPROVED)
    press_button(as_owner, url, waiting, 1, do="save", answer="bell, and the gears")
    assert row(waiting, 1).answer == "bell, and the gears"


def test_a_draft_can_be_discarded(as_owner, url, waiting):
    send_draft(as_owner, url, waiting, 1, "half a sen")
    assert press_button(as_owner, url, waiting, 1, do="drop").url == url("row", number=1)
    assert not Draft.objects.exists()


def test_a_stale_answer_is_reported(as_owner, as_editor, url, waiting):
    seen = row(waiting, 1).changed_at.isoformat()
    press_button(as_editor, url, waiting, 1, do="save", answer="bell")
    reply = as_owner.post(url("row", number=1), {"seen": seen, "do": "save", "answer": "gears"})
    assert reply.status_code == 422
    page = reply.content.decode()
    assert "Jonas changed this row just now." in page
    assert "bell" in page
    assert "gears" in page
    assert row(waiting, 1).answer == "bell"


def test_an_old_page_does_not_set_aside_what_somebody_approved(as_owner, as_editor, url, waiting):
    seen = row(waiting, 1).changed_at.isoformat()
    press_button(as_editor, url, waiting, 1, do="save", answer="bell")
    for button in ("aside", "again"):
        reply = as_owner.post(url("row", number=1), {"seen": seen, "do": button, "answer": ""})
        assert reply.status_code == 422
        assert "Jonas changed this row just now." in reply.content.decode()
        assert row(waiting, 1).status == Status.APPROVED
    press_button(as_owner, url, waiting, 1, do="aside")  # having seen it
    assert row(waiting, 1).status == Status.SET_ASIDE


# ---- Undo ----


def test_undo_and_redo_step_by_step(as_owner, url, waiting):
    press_button(as_owner, url, waiting, 1, do="save", answer="bell")
    press_button(as_owner, url, waiting, 2, do="aside")
    assert as_owner.post(url("undo_last")).url == url("row", number=2)
    assert row(waiting, 2).status == Status.PENDING
    reply = as_owner.post(url("undo_last"))
    assert reply.url == url("row", number=1)
    found = row(waiting, 1)
    assert (found.answer, found.status) == ("", Status.PENDING)
    page = as_owner.get(reply.url).content.decode()
    assert "Undone: Answered No. 1." in page
    back = waiting.edits.first()
    as_owner.post(url("undo_last"), {"edit": back.pk})
    assert row(waiting, 1).answer == "bell"


def test_thirty_answers_can_be_undone(as_owner, owner, url, dataset):
    add_pending_rows(dataset, owner, 30)
    for number in range(1, 31):
        button = {"do": "aside"} if number % 7 == 0 else {"do": "save", "answer": f"bell {number}"}
        press_button(as_owner, url, dataset, number, **button)
    assert not dataset.examples.filter(status=Status.PENDING).exists()
    for _step in range(30):
        as_owner.post(url("undo_last"))
    assert dataset.examples.filter(status=Status.PENDING, answer="").count() == 30


def test_undo_does_not_revert_other_users(as_owner, as_editor, url, waiting):
    press_button(as_editor, url, waiting, 1, do="save", answer="bell")
    reply = as_owner.post(url("undo_last"), follow=True)
    assert "There is nothing of yours to undo." in reply.content.decode()
    assert row(waiting, 1).answer == "bell"
    theirs = waiting.edits.first()
    as_owner.post(url("undo_last"), {"edit": theirs.pk})
    assert row(waiting, 1).answer == "bell"


# ---- Labels ----


def test_labels_are_offered_for_few_distinct_answers(as_owner, url, dataset, owner):
    add_answered_rows(dataset, owner, ["bell", "gears", "chain"] * 4)
    add_pending_rows(dataset, owner, 2)
    page = as_owner.get(url("row", number=13)).content.decode()
    assert "Your answers are always one of these 3." in page
    as_owner.post(
        url("save_labels"), {"use": "1", "label": ["bell", "gears", "chain"], "row": "13"}
    )
    page = markup(as_owner.get(url("row", number=13)))
    assert 'value="chain" data-key="3"' in page
    assert "always one of these" not in page
    reply = press_button(as_owner, url, dataset, 13, label="gears")
    assert reply.url == url("row", number=14)
    assert (row(dataset, 13).answer, row(dataset, 13).status) == ("gears", Status.APPROVED)


def test_every_label_is_offered_where_the_file_is_sorted_by_them(dataset, owner, monkeypatch):
    """Not all rows are read, and one label is rare."""
    monkeypatch.setattr(class_labels, "MAX_ANSWERS_READ", 12)
    add_answered_rows(dataset, owner, ["bell"] * 25 + ["gears"] * 25 + ["chain"])
    assert set(class_labels.detect_labels(dataset)) == {"bell", "gears", "chain"}


def test_more_labels_than_a_sample_shows_are_too_many(dataset, owner):
    add_answered_rows(dataset, owner, [f"part {n}" for n in range(50)])
    known = with_every_label(
        ["bell", "gears"] * 20, dataset.examples.usable(), class_labels.BUTTONS
    )
    assert not class_labels.BUTTONS.accept(len(set(known)), len(known))


def test_the_label_offer_can_be_declined(as_owner, url, dataset, owner):
    add_answered_rows(dataset, owner, ["bell", "gears"] * 6)
    add_pending_rows(dataset, owner, 1)
    as_owner.post(url("save_labels"), {"use": "", "label": ["bell", "gears"]})
    page = as_owner.get(url("row", number=13)).content.decode()
    assert "always one of these" not in page
    assert 'data-key="1"' not in page


def test_no_labels_are_offered_for_free_text(as_owner, url, add_examples, owner):
    dataset = add_examples(40)
    add_pending_rows(dataset, owner, 1)
    page = as_owner.get(url("row", number=41)).content.decode()
    assert "always one of these" not in page


def test_too_many_labels_are_rejected(as_owner, url, dataset):
    text = "\n".join(f"answer {n}" for n in range(21))
    reply = as_owner.post(url("save_labels"), {"text": text})
    assert reply.status_code == 422
    assert "21 answers are more than buttons can help with." in reply.content.decode()


# ---- Guidelines, conversations, permissions ----


def test_editors_change_the_guidelines(as_editor, as_viewer, url, waiting):
    reply = as_editor.post(url("save_guidelines"), {"guidelines": "Bells first.", "row": "2"})
    assert reply.url == url("row", number=2)
    assert "Bells first." in as_viewer.get(url("row", number=2)).content.decode()


def test_a_conversation_is_shown_whole_and_only_its_answer_changes(as_owner, url, add_examples):
    chat = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Opening hours?"},
        {"role": "assistant", "content": "Nine to six"},
    ]
    dataset = add_examples(rows=[{"messages": chat}])
    page = as_owner.get(url("row", number=1)).content.decode()
    assert all(message["content"] in page for message in chat)
    press_button(as_owner, url, dataset, 1, "?queue=done", do="save", answer="Nine to five")
    assert row(dataset, 1).messages == [
        *chat[:-1],
        {"role": "assistant", "content": "Nine to five"},
    ]


def test_only_editors_answer(as_viewer, as_stranger, as_owner, url, waiting):
    assert press_button(as_viewer, url, waiting, 1, do="save", answer="x").status_code == 403
    assert as_viewer.post(url("save_draft", number=1), {"answer": "x"}).status_code == 403
    assert as_viewer.post(url("undo_last")).status_code == 403
    assert as_viewer.post(url("save_guidelines")).status_code == 403
    assert as_viewer.post(url("save_labels")).status_code == 403
    page = as_viewer.get(url("row", number=1)).content.decode()
    assert "only editors can answer" in page
    assert "<textarea" not in page
    assert as_stranger.get(url("start")).status_code == 404
    assert as_stranger.get(url("row", number=1)).status_code == 404
    assert as_stranger.post(url("save_draft", number=1)).status_code == 404
    assert as_owner.get(url("save_draft", number=1)).status_code == 405
    assert as_owner.put(url("row", number=1)).status_code == 405
    assert as_owner.get(url("undo_last")).status_code == 405
    assert as_owner.post(url("row", number=1), {"do": "dance"}).status_code == 422
    assert row(waiting, 1).answer == ""


def test_the_dataset_page_counts_rows_to_answer(as_owner, url, dataset_url, waiting):
    page = as_owner.get(dataset_url("page")).content.decode()
    assert "3 rows wait for an answer." in page
    assert url("start") in page


def test_the_labelling_speed_is_shown(as_owner, owner, url, dataset):
    add_pending_rows(dataset, owner, 9)
    for number in range(1, 7):
        press_button(as_owner, url, dataset, number, do="save", answer="bell")
    assert "a minute" in as_owner.get(url("row", number=7)).content.decode()


def test_an_outdated_draft_shows_the_saved_answer(as_owner, as_editor, url, waiting):
    send_draft(as_owner, url, waiting, 1, "my long answer")
    press_button(as_editor, url, waiting, 1, do="save", answer="bell")
    page = as_owner.get(url("row", number=1)).content.decode()
    assert "my long answer" in page
    assert "Jonas has answered this row since you typed this." in page


def test_the_worse_answer_is_shown_and_kept(as_owner, url, waiting):
    waiting.examples.filter(number=1).update(rejected="topic: who knows")
    page = as_owner.get(url("row", number=1)).content.decode()
    assert "Worse answer, kept beside yours:" in page
    assert "topic: who knows" in page
    press_button(as_owner, url, waiting, 1, do="save", answer="topic: bell")
    found = row(waiting, 1)
    assert (found.answer, found.rejected) == ("topic: bell", "topic: who knows")


def test_a_worse_answer_that_becomes_the_answer_is_worse_no_more(as_owner, url, waiting):
    waiting.examples.filter(number=1).update(rejected="topic: bell")
    press_button(as_owner, url, waiting, 1, do="save", answer="topic: bell ")
    assert row(waiting, 1).rejected == ""
