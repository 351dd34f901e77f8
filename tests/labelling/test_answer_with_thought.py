"""The thought before a saved answer: it belongs to that answer, and goes with it."""

import pytest

from finetune_app.datasets.models import Dataset, Status
from finetune_app.datasets.services import add_rows
from tests.example_rows import conversation, pair
from tests.labelling.helpers import markup, press_button, row

THOUGHT = "It rings, so it is a bell."


@pytest.fixture
def drafts(dataset: Dataset, owner) -> Dataset:
    """Two drafts with a thought; the answer of the second has two lines."""
    rows = [
        {"messages": conversation(pair(n)[0], answer)} for n, answer in enumerate(("bell", "a\nb"))
    ]
    for one in rows:
        one["messages"][1]["reasoning_content"] = THOUGHT
    add_rows(dataset=dataset, by=owner, rows=rows, status=Status.DRAFT)
    return dataset


def test_the_page_shows_it_and_says_what_another_answer_does(as_owner, as_viewer, url, drafts):
    page = markup(as_owner.get(url("row", number=1)))
    assert THOUGHT in page
    assert "another answer removes it" in page
    page = markup(as_viewer.get(url("row", number=1)))
    assert THOUGHT in page


def test_thoughts_of_earlier_answers_are_shown(as_owner, owner, url, dataset):
    turns = [*conversation("Hello", "Hi"), *conversation("Bye", "Take care")]
    turns[1]["reasoning_content"] = THOUGHT
    add_rows(dataset=dataset, by=owner, rows=[{"messages": turns}])
    page = markup(as_owner.get(url("row", number=1)))
    assert THOUGHT in page
    assert "another answer removes it" not in page


@pytest.mark.parametrize(("number", "answer"), [(1, "bell"), (2, "a\r\nb")])
def test_approving_the_same_answer_keeps_it(as_owner, url, drafts, number, answer):
    press_button(as_owner, url, drafts, number, do="save", answer=answer)
    found = row(drafts, number)
    assert found.status == Status.APPROVED
    assert found.messages[-1]["reasoning_content"] == THOUGHT


def test_another_answer_removes_it_aloud_and_undo_restores_it(as_owner, url, drafts):
    reply = press_button(as_owner, url, drafts, 1, do="save", answer="lamp")
    assert row(drafts, 1).messages[-1] == {"role": "assistant", "content": "lamp"}
    said = "Answered No. 1, without the thought of the old answer"
    assert said in as_owner.get(reply.url, follow=True).content.decode()
    as_owner.post(url("undo_last"))
    found = row(drafts, 1)
    assert (found.answer, found.messages[-1]["reasoning_content"]) == ("bell", THOUGHT)
