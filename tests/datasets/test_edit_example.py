"""Editing one example: in place, with a history, safe against a second tab."""

import pytest

from finetune_app.datasets.models import Example, Split, Status
from finetune_app.datasets.services import change_many, save_example
from tests.page_text import compact


@pytest.fixture
def row(add_examples) -> Example:
    return add_examples(60).examples.get(number=7)


def written(row: Example, answer: str, **more: str) -> dict[str, str]:
    row.refresh_from_db()
    return {
        "changed_at": row.changed_at.isoformat(),
        "message-0": row.prompt,
        "message-1": answer,
    } | more


def test_row_opens_in_place(as_owner, url, row):
    address = url("example", number=7)
    alone = compact(as_owner.get(address, headers={"HX-Request": "true"}))
    assert alone.startswith('<tr class="open" id="row-7">')
    assert row.prompt in alone
    page = compact(as_owner.get(address))
    assert "<html" in page
    assert 'class="open" id="row-7"' in page
    closed = as_owner.get(address + "?closed=1", headers={"HX-Request": "true"}).content.decode()
    assert "textarea" not in closed


def test_changed_answer_is_saved(as_owner, owner, url, row):
    reply = as_owner.post(url("example", number=7), written(row, "topic: bell\r\ndue: today"))
    assert reply.url.endswith("#row-7")
    row.refresh_from_db()
    assert row.answer == "topic: bell\ndue: today"
    assert row.messages[-1]["content"] == row.answer
    assert row.changed_by == owner
    assert "Saved No. 7." in as_owner.get(url("page")).content.decode()


def test_saving_without_a_change_changes_nothing(as_owner, url, row, dataset):
    before = row.changed_at
    as_owner.post(url("example", number=7), written(row, row.answer))
    row.refresh_from_db()
    assert row.changed_at == before
    assert not dataset.edits.exists()


def test_line_ends_of_the_file_survive_an_unrelated_edit(as_owner, url, row):
    messages = [
        {"role": "user", "content": "one\r\ntwo"},
        {"role": "assistant", "content": "short"},
    ]
    row.set_messages(messages)
    row.save()
    form = written(row, "longer") | {"message-0": "one\r\ntwo"}
    as_owner.post(url("example", number=7), form)
    row.refresh_from_db()
    assert row.messages[0]["content"] == "one\r\ntwo"
    assert row.answer == "longer"


def test_conflict_with_a_second_tab_shows_both_texts(as_owner, as_editor, url, row):
    mine = written(row, "what I wrote")
    as_editor.post(url("example", number=7), written(row, "what Jonas wrote"))
    reply = as_owner.post(url("example", number=7), mine)
    assert reply.status_code == 422
    page = reply.content.decode()
    assert "Jonas changed this row while you were writing." in page
    assert "what I wrote" in page
    assert "what Jonas wrote" in page
    row.refresh_from_db()
    assert row.answer == "what Jonas wrote"
    as_owner.post(url("example", number=7), written(row, "what I wrote"))
    row.refresh_from_db()
    assert row.answer == "what I wrote"


def test_approval_keeps_a_concurrent_text_change(owner, editor, row):
    """One person changes the text while another approves the row as loaded before."""
    loaded = Example.objects.get(pk=row.pk)
    messages = [*row.messages[:-1], {"role": "assistant", "content": "topic: hire"}]
    save_example(example=row, by=editor, messages=messages, seen=None)
    change_many(
        dataset=loaded.dataset,
        by=owner,
        what="Set aside",
        examples=[loaded],
        fields=lambda _row: {"status": "set_aside"},
    )
    row.refresh_from_db()
    assert (row.answer, row.status) == ("topic: hire", "set_aside")


def test_form_without_changed_at_is_stale(as_owner, url, row):
    form = {"message-0": row.prompt, "message-1": "sneaked in"}
    assert as_owner.post(url("example", number=7), form).status_code == 422
    row.refresh_from_db()
    assert row.answer != "sneaked in"


def test_empty_prompt_is_refused_and_the_form_keeps_its_text(as_owner, url, row):
    form = written(row, "my new answer") | {"message-0": " "}
    reply = as_owner.post(url("example", number=7), form)
    assert reply.status_code == 422
    assert "The prompt is empty." in reply.content.decode()
    assert "my new answer" in reply.content.decode()


def test_example_with_emptied_answer_becomes_a_draft(as_owner, url, row):
    as_owner.post(url("example", number=7), written(row, ""))
    row.refresh_from_db()
    assert row.status == Status.DRAFT
    reply = as_owner.post(url("change", number=7), {"what": "approve"})
    assert reply.status_code == 400
    assert "has no answer yet" in reply.content.decode()


def test_each_turn_of_a_conversation_can_be_edited(as_owner, url, add_examples):
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hello there"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Opening hours?"},
        {"role": "assistant", "content": "Nine to six"},
    ]
    row = add_examples(rows=[{"messages": said}]).examples.get()
    form = {"changed_at": row.changed_at.isoformat(), "message-4": "Nine to five"}
    as_owner.post(url("example", number=row.number), form)
    row.refresh_from_db()
    assert row.messages == [*said[:-1], {"role": "assistant", "content": "Nine to five"}]
    assert row.prompt == "Opening hours?"


SAID = [
    {"role": "user", "content": "Hello there"},
    {"role": "assistant", "content": "Hi", "weight": 0},
    {"role": "user", "content": "Opening hours?"},
    {"role": "assistant", "content": "Nine to six"},
]


def test_answer_that_is_not_learned_is_marked_and_stays_so(as_owner, url, add_examples):
    row = add_examples(rows=[{"messages": SAID}]).examples.get()
    assert "2 turns, 1 answer not learned" in compact(as_owner.get(url("page")))
    page = compact(as_owner.get(url("example", number=row.number)))
    assert '<option value="0" selected>' in page
    assert page.count('name="weight-') == 1  # the last answer is always learned
    form = {"changed_at": row.changed_at.isoformat(), "message-1": "Hi!"}
    as_owner.post(url("example", number=row.number), form)
    row.refresh_from_db()
    assert row.messages[1] == {"role": "assistant", "content": "Hi!", "weight": 0}
    assert "not learned" in as_owner.get(url("history", number=row.number)).content.decode()


def test_whether_an_earlier_answer_is_learned_can_be_changed(as_owner, url, add_examples):
    row = add_examples(rows=[{"messages": SAID}]).examples.get()
    address = url("example", number=row.number)
    as_owner.post(address, {"changed_at": row.changed_at.isoformat(), "weight-1": "1"})
    row.refresh_from_db()
    assert row.messages[1] == {"role": "assistant", "content": "Hi"}
    as_owner.post(address, {"changed_at": row.changed_at.isoformat(), "weight-1": "0"})
    row.refresh_from_db()
    assert row.messages == SAID


def test_answer_that_becomes_the_last_is_learned(as_owner, url, add_examples):
    row = add_examples(rows=[{"messages": SAID}]).examples.get()
    form = {"changed_at": row.changed_at.isoformat(), "message-2": "", "message-3": ""}
    as_owner.post(url("example", number=row.number), form)
    row.refresh_from_db()
    assert row.messages == [SAID[0], {"role": "assistant", "content": "Hi"}]


def test_turn_and_instructions_can_be_added(as_owner, url, row):
    address, asked, answer = url("example", number=7), row.prompt, row.answer
    form = written(row, answer)
    longer = as_owner.post(address, form | {"more": "turn"}, headers={"HX-Request": "true"})
    assert 'name="message-3"' in longer.content.decode()
    form |= {"message-2": "And tomorrow?", "message-3": "topic: hours"}
    both = as_owner.post(address, form | {"more": "instructions"}).content.decode()
    assert 'name="instructions"' in both
    assert "And tomorrow?" in both
    row.refresh_from_db()
    assert len(row.messages) == 2  # nothing is saved yet
    as_owner.post(address, form | {"instructions": "Be brief."})
    row.refresh_from_db()
    assert [(m["role"], m["content"]) for m in row.messages] == [
        ("system", "Be brief."),
        ("user", asked),
        ("assistant", answer),
        ("user", "And tomorrow?"),
        ("assistant", "topic: hours"),
    ]
    assert row.answer == "topic: hours"


def test_emptied_turn_is_removed_and_undo_restores_it(as_owner, url, row, dataset):
    first = row.messages
    as_owner.post(
        url("example", number=7),
        written(row, row.answer)
        | {"message-2": "And tomorrow?", "message-3": "topic: hours", "instructions": "Be brief."},
    )
    form = written(row, "topic: hours") | {"changed_at": row.changed_at.isoformat()}
    form |= {"message-0": "", "message-1": first[0]["content"], "message-2": first[1]["content"]}
    half = as_owner.post(url("example", number=7), form | {"message-3": " ", "message-4": "x"})
    assert half.status_code == 422
    assert "A turn is half empty." in half.content.decode()
    as_owner.post(url("example", number=7), form | {"message-3": " ", "message-4": ""})
    row.refresh_from_db()
    assert row.messages == first
    as_owner.post(url("undo", edit_id=dataset.edits.latest("pk").pk))
    row.refresh_from_db()
    assert len(row.messages) == 5


@pytest.mark.parametrize(
    ("what", "field", "value"),
    [("set_aside", "status", Status.SET_ASIDE), ("draft", "status", Status.DRAFT)],
)
def test_button_changes_the_status(as_owner, url, row, what, field, value):
    as_owner.post(url("change", number=7), {"what": what})
    row.refresh_from_db()
    assert getattr(row, field) == value


def test_row_moves_to_another_split_and_stays_there(as_owner, url, row, add_examples):
    other = Split.TEST if row.split != Split.TEST else Split.TRAIN
    as_owner.post(url("change", number=7), {"what": "move", "split": other})
    row.refresh_from_db()
    assert row.split == other
    add_examples(30)
    row.refresh_from_db()
    assert row.split == other
    assert (
        as_owner.post(url("change", number=7), {"what": "move", "split": "nowhere"}).status_code
        == 400
    )


def test_deleted_row_is_in_the_trash(as_owner, url, row):
    as_owner.post(url("change", number=7), {"what": "delete"})
    page = as_owner.get(url("page")).content.decode()
    assert 'id="row-7"' not in page
    assert "Trash" in page
    assert 'id="row-7"' in as_owner.get(url("page") + "?status=trash").content.decode()
    as_owner.post(url("change", number=7), {"what": "restore"})
    assert 'id="row-7"' in as_owner.get(url("page")).content.decode()


def test_history_lists_every_edit(as_owner, as_editor, url, row):
    as_owner.post(url("example", number=7), written(row, "second"))
    as_editor.post(url("change", number=7), {"what": "set_aside"})
    page = as_owner.get(url("history", number=7)).content.decode()
    assert "Changed No. 7" in page
    assert "Set No. 7 aside" in page
    assert "Jonas" in page
    assert "second" in page


def test_example_is_written_by_hand(as_owner, url, add_examples, dataset):
    add_examples(12)
    as_owner.post(url("write"), {"prompt": "A new\r\nquestion", "answer": "topic: other"})
    new = dataset.examples.order_by("-number").first()
    assert (new.prompt, new.answer, new.status) == ("A new\nquestion", "topic: other", "approved")
    as_owner.post(url("write"), {"prompt": "To be answered", "answer": ""})
    assert dataset.examples.order_by("-number").first().status == Status.DRAFT
    assert as_owner.post(url("write"), {"prompt": " ", "answer": "x"}).status_code == 422


def test_conversation_is_written_by_hand(as_owner, url, dataset):
    """Adding a turn and instructions keeps the typed text, which becomes one example."""
    form = {"prompt": "My bell fell off", "answer": "Is it new?"}
    page = as_owner.post(url("write"), form | {"more": "turn"}).content.decode()
    assert 'name="turn-1"' in page
    form = {"turn-0": form["prompt"], "turn-1": form["answer"], "prompt": "", "answer": "bell"}
    page = as_owner.post(url("write"), form | {"more": "instructions"}).content.decode()
    assert 'name="instructions"' in page
    assert "My bell fell off" in page
    assert not dataset.examples.exists()
    form |= {"instructions": "Be brief."}
    reply = as_owner.post(url("write"), form)
    assert reply.status_code == 422  # the last turn has no prompt
    as_owner.post(url("write"), form | {"prompt": "Yes, it is"})
    said = [(m["role"], m["content"]) for m in dataset.examples.get().messages]
    assert said == [
        ("system", "Be brief."),
        ("user", "My bell fell off"),
        ("assistant", "Is it new?"),
        ("user", "Yes, it is"),
        ("assistant", "bell"),
    ]


def test_only_editors_may_change(as_viewer, as_stranger, as_owner, url, row):
    form = written(row, "not mine")
    assert as_viewer.post(url("example", number=7), form).status_code == 403
    assert as_viewer.post(url("change", number=7), {"what": "delete"}).status_code == 403
    assert as_viewer.get(url("write")).status_code == 403
    assert as_viewer.get(url("example", number=7)).status_code == 200
    assert as_viewer.get(url("history", number=7)).status_code == 200
    assert as_stranger.get(url("example", number=7)).status_code == 404
    assert as_stranger.post(url("change", number=7), {"what": "delete"}).status_code == 404
    assert as_owner.get(url("change", number=7)).status_code == 405
    assert as_owner.put(url("example", number=7)).status_code == 405
    row.refresh_from_db()
    assert row.deleted_at is None
    assert row.answer != "not mine"
