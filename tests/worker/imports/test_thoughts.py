"""A thought before an answer is kept beside it, however a file writes it."""

import json

import pytest

from finetune_app.imports.cell_values import RowError, parse_json
from finetune_app.imports.column_inference import infer_mapping
from finetune_app.imports.column_mapping import example_from_row
from finetune_app.imports.training_pairs import loses_thought
from tests.worker.imports.test_unread_keys import unread_names

ASKED = {"role": "user", "content": "Is it ready?"}
ANSWERED = {"role": "assistant", "content": "Tomorrow."}
CHATS = {"style": "messages", "messages": "messages"}
PAIRS = {"style": "pairs", "prompt": "prompt", "answer": "answer"}
THOUGHT = "Today is Monday,\nso it takes a day."
BLOCK = f"<think>\n{THOUGHT}\n</think>\n\nTomorrow."
KEPT = [ASKED, ANSWERED | {"reasoning_content": THOUGHT}]


def messages(*given: dict, **more: str) -> dict:
    return {"messages": list(given), **more}


def pair(answer, **more: str) -> dict:
    return {"prompt": "Is it ready?", "answer": answer, **more}


WRITTEN = {
    "a key": (messages(*KEPT), CHATS),
    "reasoning": (messages(ASKED, ANSWERED | {"reasoning": THOUGHT}), CHATS),
    "thinking": (messages(ASKED, ANSWERED | {"thinking": f"\n{THOUGHT} "}), CHATS),
    "two equal keys": (messages(ASKED, KEPT[1] | {"reasoning": THOUGHT}), CHATS),
    "a block": (messages(ASKED, {"role": "assistant", "content": BLOCK}), CHATS),
    "a block and a key": (messages(ASKED, KEPT[1] | {"content": BLOCK}), CHATS),
    "ShareGPT": (
        messages({"from": "human", "value": "Is it ready?"}, {"from": "gpt", "value": BLOCK}),
        CHATS,
    ),
    "JSON text": ({"messages": json.dumps(KEPT)}, CHATS),
    "a transcript": ({"messages": f"Human: Is it ready?\n\nAssistant: {BLOCK}"}, CHATS),
    "two columns": (pair(BLOCK), PAIRS),
    "two columns, with space before": (pair(f"\n {BLOCK}\n"), PAIRS),
    "an answer as a message": (pair([KEPT[1]]), PAIRS),
    "the whole conversation as the answer": (pair(KEPT), PAIRS),
    "a column": (pair("Tomorrow.", why=THOUGHT), PAIRS | {"thought": "why"}),
    "a column beside a conversation": (
        messages(ASKED, ANSWERED, why=THOUGHT),
        CHATS | {"thought": "why"},
    ),
    "a column and a block": (pair(BLOCK, why=THOUGHT), PAIRS | {"thought": "why"}),
}


@pytest.mark.parametrize(("row", "mapping"), WRITTEN.values(), ids=WRITTEN)
def test_the_thought_stands_beside_the_answer(row, mapping):
    cells = parse_json(json.dumps(row))
    assert example_from_row(cells, mapping).messages == KEPT
    assert unread_names([cells], mapping) == {}


def test_thoughts_of_earlier_answers_are_kept():
    later = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    assert example_from_row(messages(*KEPT, *later), CHATS).messages == [*KEPT, *later]
    row = pair("So.", history=[["Is it ready?", BLOCK]]) | {"prompt": "Why?"}
    assert example_from_row(row, PAIRS).messages == [*KEPT, *later]


@pytest.mark.parametrize("key", [None, "", [], "null"])
@pytest.mark.parametrize("who", [ASKED, ANSWERED])
def test_an_empty_key_is_no_thought(who, key):
    row = [one | {"reasoning_content": key} if one == who else one for one in (ASKED, ANSWERED)]
    assert example_from_row(messages(*row), CHATS).messages == [ASKED, ANSWERED]


def test_an_empty_block_is_no_thought():
    row = messages(ASKED, {"role": "assistant", "content": "<think>\n\n</think>\n\nTomorrow."})
    assert example_from_row(row, CHATS).messages == [ASKED, ANSWERED]


def test_a_thought_before_a_call_needs_no_text():
    call = {"id": "1", "type": "function", "function": {"name": "look_up", "arguments": "{}"}}
    given = {"role": "assistant", "content": f"<think>{THOUGHT}</think>", "tool_calls": [call]}
    [_asked, answer] = example_from_row(messages(ASKED, given), CHATS).messages
    assert answer == given | {"content": "", "reasoning_content": THOUGHT}


def test_what_a_person_writes_is_no_thought():
    asked = {"role": "user", "content": "<think>hard</think> Is it ready?"}
    row = messages(asked, ANSWERED)
    assert example_from_row(row, CHATS).messages == [asked, ANSWERED]


OTHER = [
    (ASKED | {"reasoning": "Hm."}, ANSWERED, "reasoning"),
    (ASKED, ANSWERED | {"reasoning": {"effort": "high"}}, "reasoning"),
    (ASKED, ANSWERED | {"thinking": ["a", "b"]}, "thinking"),
]


@pytest.mark.parametrize(("asked", "answered", "key"), OTHER)
def test_other_uses_of_the_shorter_names_are_named_as_not_read(asked, answered, key):
    row = messages(asked, answered)
    assert example_from_row(row, CHATS).messages == [ASKED, ANSWERED]
    assert unread_names([row], CHATS) == {key: 1}


NO_ANSWER = "is a thought without an answer. Write what follows the thought."
REFUSED = [
    (
        messages(ASKED, ANSWERED | {"reasoning_content": ["a"]}),
        CHATS,
        "“reasoning_content” of message 2 is not text. Write the thought as text, or leave it out.",
    ),
    (
        messages(ASKED | {"reasoning_content": "Hm."}, ANSWERED),
        CHATS,
        (
            "Message 1 has a thought (“reasoning_content”), but only the assistant’s have one. "
            "Move it to the answer, or leave it out."
        ),
    ),
    (
        messages(ASKED, ANSWERED | {"content": BLOCK, "reasoning_content": "Another."}),
        CHATS,
        "Message 2 has two thoughts, and they differ. Leave one of them out.",
    ),
    (
        messages(ASKED, ANSWERED | {"reasoning": "One.", "thinking": "Another."}),
        CHATS,
        "Message 2 has two thoughts, and they differ. Leave one of them out.",
    ),
    (messages(ASKED, ANSWERED | {"content": "<think>Hm"}), CHATS, f"Message 2 {NO_ANSWER}"),
    (
        messages(ASKED, ANSWERED | {"content": "", "reasoning": "Hm."}),
        CHATS | {"unanswered": "keep"},
        f"Message 2 {NO_ANSWER}",
    ),
    (pair("<think>Hm.</think>\n"), PAIRS, f"The answer {NO_ANSWER}"),
    (
        pair("", why="Hm."),
        PAIRS | {"thought": "why", "unanswered": "keep"},
        f"The answer {NO_ANSWER}",
    ),
    (
        pair("Yes.", why=["a"]),
        PAIRS | {"thought": "why"},
        (
            "“why” is not text, so it cannot be the thought. Correct it, or choose no column for "
            "the thought."
        ),
    ),
    (
        pair(BLOCK, why="Another."),
        PAIRS | {"thought": "why"},
        "The answer has two thoughts, and they differ. Leave one of them out.",
    ),
    (pair("<think></think>"), PAIRS, "“answer” is empty, so there is nothing to learn."),
]


@pytest.mark.parametrize(("row", "mapping", "why"), REFUSED)
def test_what_cannot_be_a_thought_is_refused_with_the_reason(row, mapping, why):
    with pytest.raises(RowError) as refused:
        example_from_row(row, mapping)
    assert str(refused.value) == why


DPO = {"style": "pairs", "prompt": "prompt", "answer": "chosen", "rejected": "rejected"}


@pytest.mark.parametrize(
    "worse", ["<think>Hm.</think>\nNever.", [ANSWERED | {"content": "<think>Hm.</think>Never."}]]
)
@pytest.mark.parametrize("better", [BLOCK, [KEPT[1]], KEPT])
def test_a_better_answer_keeps_its_thought_and_a_worse_one_loses_it(better, worse):
    row = {"prompt": "Is it ready?", "chosen": better, "rejected": worse}
    assert example_from_row(row, DPO) == (KEPT, "Never.")
    assert loses_thought(worse)
    assert example_from_row(row | {"rejected": "Never."}, DPO) == (KEPT, "Never.")
    assert not loses_thought("Never.")


def test_both_answers_of_a_pair_differ_in_more_than_the_thought():
    row = {"prompt": "Is it ready?", "chosen": BLOCK, "rejected": "<think>Hm.</think>Tomorrow."}
    with pytest.raises(RowError, match="The better and the worse answer are the same"):
        example_from_row(row, DPO)


ROW = {"question": "2 + 2?", "answer": "4"}
INFERRED = [
    (ROW | {"reasoning": "It is two twice."}, "reasoning"),
    (ROW | {"Chain_of_Thought": "It is two twice."}, "Chain_of_Thought"),
    (ROW | {"reasoning_content": "Easy."}, "reasoning_content"),
    (messages(ASKED, ANSWERED, thought="It is two twice."), "thought"),
    (ROW | {"reasoning": "on"}, ""),
    (ROW | {"reasoning": {"effort": "high"}}, ""),
    (ROW | {"reasoning": ""}, ""),
    ({"question": "2 + 2?", "reasoning": "It is two twice."}, ""),
]


@pytest.mark.parametrize(("row", "column"), INFERRED)
def test_the_column_of_thoughts_is_found_by_its_name_and_by_what_it_holds(row, column):
    mapping = infer_mapping(list(row), [row] * 3)
    assert mapping["thought"] == column
    assert (f"“{column}” has the thought before the answer." in mapping["why"]) == bool(column)
    if "question" in row:
        assert mapping["prompt"] == "question"
        assert mapping["answer"] == ("answer" if "answer" in row else "reasoning")
