"""The thought before an answer: shown closed, changed, added and removed, with history and undo."""

import pytest

from finetune_app.datasets.models import Example
from tests.example_rows import conversation, pair
from tests.page_text import compact

OPEN = '<details class="thought" open'


@pytest.fixture
def row(add_examples) -> Example:
    """No. 1, with a thought of two lines."""
    rows = [{"messages": conversation(*pair(n))} for n in range(60)]
    rows[0]["messages"][1]["reasoning_content"] = "A bell,\nI think."
    return add_examples(rows=rows).examples.get(number=1)


def save(client, url, row: Example, **fields: str):
    row.refresh_from_db()
    form = {"changed_at": row.changed_at.isoformat()}
    form |= {name.replace("_", "-"): text for name, text in fields.items()}
    reply = client.post(url("example", number=row.number), form)
    row.refresh_from_db()
    return reply


def thought(row: Example) -> str | None:
    row.refresh_from_db()
    return row.messages[-1].get("reasoning_content")


def test_it_is_closed_above_the_answer(as_owner, as_viewer, url, row):
    for client in (as_owner, as_viewer):
        page = compact(client.get(url("example", number=1)))
        assert OPEN not in page
        assert 'name="thought-1" rows="4"' in page
        assert page.index("A bell, I think.") < page.index('name="message-1"')
    assert "Empty this box to remove it." not in page  # of the viewer
    assert "thought" not in compact(as_owner.get(url("example", number=2))).replace(
        "Add a thought", ""
    ).replace('value="thought"', "")


def test_it_stays_when_the_answer_is_changed(as_owner, url, row):
    save(as_owner, url, row, message_1="topic: lamp")
    assert row.answer == "topic: lamp"
    assert thought(row) == "A bell,\nI think."


def test_it_is_changed_and_undo_restores_it(as_owner, url, row, dataset):
    reply = save(as_owner, url, row, thought_1="A lamp,\r\nI think. ")
    assert reply.status_code == 302
    assert thought(row) == "A lamp,\nI think."
    history = compact(as_owner.get(url("history", number=1)))
    assert history.count('<details class="thought"') == 2
    assert "A bell, I think." in history
    as_owner.post(url("undo", edit_id=dataset.edits.latest("pk").pk))
    assert thought(row) == "A bell,\nI think."


def test_line_ends_of_a_browser_change_nothing(as_owner, url, row):
    before = row.changed_at
    save(as_owner, url, row, thought_1="A bell,\r\nI think.")
    assert row.changed_at == before


def test_an_emptied_box_removes_it(as_owner, url, row):
    save(as_owner, url, row, thought_1=" \r\n")
    assert thought(row) is None


def test_an_emptied_box_stays_empty_while_a_turn_is_added(as_owner, url, row):
    page = compact(save(as_owner, url, row, thought_1="", more="turn"))
    assert OPEN in page
    assert "A bell" not in page
    assert thought(row) == "A bell,\nI think."


def test_one_is_added_to_the_last_answer(as_owner, url, row, dataset):
    other = dataset.examples.get(number=2)
    page = compact(save(as_owner, url, other, more="thought"))
    assert OPEN in page
    assert "Add a thought" not in page
    save(as_owner, url, other, thought_1="Which part is it?")
    assert thought(other) == "Which part is it?"
    assert other.prompt_hash == dataset.examples.get(number=2).prompt_hash


def test_each_answer_of_a_conversation_has_its_own(as_owner, url, add_examples):
    turns = [*conversation("Hello", "Hi"), *conversation("Bye", "Take care")]
    turns[1]["reasoning_content"] = "They greet."
    row = add_examples(rows=[{"messages": turns}]).examples.get()
    page = compact(as_owner.get(url("example", number=1)))
    assert 'name="thought-1"' in page
    assert 'name="thought-3"' not in page
    save(as_owner, url, row, thought_1="They greet me.", thought_3="They leave.")
    assert [one.get("reasoning_content") for one in row.messages] == [
        None,
        "They greet me.",
        None,
        "They leave.",
    ]


def test_only_an_answer_has_one(as_owner, url, row):
    save(as_owner, url, row, thought_0="What do I ask?")
    assert "reasoning_content" not in row.messages[0]


def test_conflict_with_a_second_tab_shows_both(as_owner, as_editor, url, row):
    stale = row.changed_at.isoformat()
    save(as_editor, url, row, thought_1="Theirs.")
    form = {"changed_at": stale, "thought-1": "Mine."}
    reply = as_owner.post(url("example", number=1), form)
    assert reply.status_code == 422
    page = compact(reply)
    assert OPEN in page
    assert "Mine." in page
    assert "Theirs." in page


def test_a_thought_with_a_zero_byte_is_refused(as_owner, url, row):
    reply = save(as_owner, url, row, thought_1="a\x00b")
    assert reply.status_code == 422
    assert thought(row) == "A bell,\nI think."


def test_only_editors_of_the_team_may_change_it(as_viewer, as_stranger, url, row):
    assert save(as_viewer, url, row, thought_1="x").status_code == 403
    assert save(as_stranger, url, row, thought_1="x").status_code == 404
    assert thought(row) == "A bell,\nI think."


def test_two_versions_are_compared_thought_by_thought(as_owner, url, row):
    as_owner.post(url("versions:freeze"))
    save(as_owner, url, row, thought_1="A lamp,\nI think.")
    as_owner.post(url("versions:freeze"))
    page = compact(as_owner.get(url("versions:compare", number=1, other=2)))
    assert "Thought, before" in page
    assert "<del>bell</del>" in page
    assert "<ins>lamp</ins>" in page
