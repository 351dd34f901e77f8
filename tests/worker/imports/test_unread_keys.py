"""Keys that are not read are counted; rows that need them are refused until somebody decides."""

import json

import pytest

from finetune_app.imports.column_mapping import TAKE_WITHOUT, UnreadKeyError, example_from_row
from finetune_app.imports.unread_keys import MAX_INNER_KEYS, KeyCounter, name_of, unread
from worker.imports.inspect import inspect_file

ASKED = {"role": "user", "content": "Is it ready?"}
ANSWERED = {"role": "assistant", "content": "Tomorrow."}
CHAT = [ASKED, ANSWERED]
CHATS = {"style": "messages", "messages": "messages"}
PAIRS = {"style": "pairs", "prompt": "input", "answer": "preferred_output"}
TOOLS = [{"type": "function", "function": {"name": "look_up"}}]


def unread_names(rows: list[dict], mapping: dict[str, str]) -> dict[str, int]:
    """How many rows have each key that is not read, the important ones first."""
    counter = KeyCounter()
    for line, cells in enumerate(rows, 1):
        counter.add(line, cells)
    return {name_of(key): key["rows"] for key in unread(counter.counts(), mapping)}


MEANING = [
    ({"messages": CHAT, "functions": TOOLS}, CHATS, "functions"),
    ({"messages": CHAT, "Rejected": CHAT}, CHATS, "Rejected"),
    ({"messages": json.dumps(CHAT), "functions": json.dumps(TOOLS)}, CHATS, "functions"),
    ({"messages": [ASKED, ANSWERED | {"function_call": {"name": "f"}}]}, CHATS, "function_call"),
    (
        {"input": {"messages": [ASKED], "functions": TOOLS}, "preferred_output": [ANSWERED]},
        PAIRS,
        "functions",
    ),
    (
        {"input": "Is it ready?", "preferred_output": "Tomorrow.", "non_preferred_output": "Go!"},
        PAIRS,
        "non_preferred_output",
    ),
]


@pytest.mark.parametrize(("row", "mapping", "key"), MEANING)
def test_a_row_that_needs_an_unread_key_waits_for_a_decision(row, mapping, key):
    assert unread_names([row], mapping) == {key: 1}
    with pytest.raises(UnreadKeyError, match=f"“{key}”, which is not read"):
        example_from_row(row, mapping)
    assert example_from_row(row, mapping | {"unread": TAKE_WITHOUT}).messages == CHAT


@pytest.mark.parametrize("empty", [None, "", [], {}, "[]", "null"])
def test_an_empty_key_changes_nothing(empty):
    row = {
        "messages": [ASKED, ANSWERED | {"tool_calls": empty, "refusal": empty}],
        "tools": empty,
        "rejected": empty,
    }
    assert unread_names([row], CHATS) == {}
    assert example_from_row(row, CHATS).messages == CHAT


def test_other_keys_are_named_and_the_row_is_taken():
    rows = [
        {
            "messages": [
                ASKED | {"name": "Ida", "content": [{"type": "text", "text": "Is it ready?"}]},
                ANSWERED | {"annotations": "Today is Monday.", "weight": "1"},
            ],
            "metadata": {"a": "b"},
        },
        {"messages": [ASKED | {"name": "Jo"}, ANSWERED]},
    ]
    assert unread_names(rows, CHATS) == {
        "name": 2,
        "annotations": 1,
        "metadata": 1,
    }
    assert [example_from_row(row, CHATS).messages for row in rows] == [CHAT, CHAT]


def test_what_is_read_depends_on_the_columns():
    rows = [{"prompt": "a", "answer": "b", "system": "c", "history": [["d", "e"]], "who": "f"}]
    mapping = {"style": "pairs", "prompt": "prompt", "answer": "answer"}
    assert unread_names(rows, mapping) == {"system": 1, "who": 1}
    assert unread_names(rows, mapping | {"system": "system"}) == {"who": 1}
    assert "history" in unread_names(rows, {"style": "messages", "messages": "prompt"})


def test_keys_of_other_conversations_are_not_named():
    """The rejected answers as a whole are."""
    row = {"messages": CHAT, "rejected": [ASKED, ANSWERED | {"name": "Ida"}]}
    assert unread_names([row], CHATS) == {"rejected": 1}


def test_the_first_lines_of_a_key_are_kept(stored, channel):
    rows = [{"messages": CHAT} | ({"functions": TOOLS} if n % 2 else {}) for n in range(10)]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    shape = inspect_file(stored(content), "f.jsonl", {}, channel)["shape"]
    [functions] = [key for key in shape["keys"] if key["column"] == "functions"]
    assert functions == {"column": "functions", "key": "", "rows": 5, "lines": [2, 4, 6]}
    assert (shape["usable"], shape["undecided"]) == (10, 5)
    assert shape["filled"] == {"messages": 10, "functions": 5}


def test_rows_that_cannot_be_taken_either_way_are_not_usable(stored, channel):
    rows = [
        {"messages": CHAT},
        {"messages": [ASKED], "tools": TOOLS},
        {"messages": [ASKED, {"role": "tool", "content": "4"}, ANSWERED], "tools": TOOLS},
    ]
    content = b"".join(json.dumps(row).encode() + b"\n" for row in rows)
    shape = inspect_file(stored(content), "f.jsonl", {}, channel)["shape"]
    assert (shape["usable"], shape["undecided"]) == (1, 0)


def test_a_hostile_file_fills_no_memory_with_names():
    rows = [
        {"messages": [ASKED | {f"key {n}": "x", "y" * 10_000: "x"}, ANSWERED]}
        for n in range(MAX_INNER_KEYS + 50)
    ]
    names = unread_names(rows, CHATS)
    assert len(names) == MAX_INNER_KEYS
    assert max(map(len, names)) == 80
