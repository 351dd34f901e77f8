"""Infer the columns from names and values, with a reason; answers may be missing."""

import json

import pytest

from finetune_app.imports.cell_values import RowError
from finetune_app.imports.column_inference import infer_mapping
from finetune_app.imports.column_mapping import (
    TAKE_WITHOUT,
    example_from_row,
    key_and_group_of_row,
)
from worker.imports.inspect import inspect_file
from worker.imports.read import read_rows

HELLO = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
WAITING = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": ""}]


def inferred(rows: list[dict]) -> dict[str, str]:
    return infer_mapping(list(rows[0]), rows)


def conversations(rows: list[dict]) -> list[list[dict]]:
    mapping = inferred(rows)
    return [example_from_row(row, mapping).messages for row in rows]


def test_a_single_column_is_the_prompt_and_rows_wait_for_an_answer():
    rows = [{"id": "1", "email": "Hello"}, {"id": "2", "email": "Bye"}]
    mapping = inferred(rows)
    assert (mapping["prompt"], mapping["answer"], mapping["unanswered"]) == ("email", "", "keep")
    assert "yours to write" in mapping["why"]
    assert example_from_row(rows[0], mapping).messages == WAITING


def test_a_mostly_empty_answer_column_keeps_unanswered_rows():
    rows = [{"prompt": "Hello", "answer": ""}] * 2 + [{"prompt": "Hello", "answer": "Hi"}]
    assert inferred(rows)["unanswered"] == "keep"
    assert conversations(rows) == [WAITING, WAITING, HELLO]


def test_a_few_empty_answers_are_rejected():
    rows = [{"prompt": "Hello", "answer": "Hi"}] * 2 + [{"prompt": "Hello", "answer": " "}]
    mapping = inferred(rows)
    assert mapping["unanswered"] == ""
    with pytest.raises(RowError, match="“answer” is empty"):
        example_from_row(rows[-1], mapping)


def test_several_unknown_columns_leave_the_answer_open():
    mapping = inferred([{"aa": "Hello", "bb": "Hi", "cc": "You"}] * 3)
    assert (mapping["answer"], mapping["unanswered"]) == ("", "")


def test_unanswered_conversations_get_an_empty_answer():
    chat = [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hello"}]
    mapping = inferred([{"messages": chat}])
    assert mapping["unanswered"] == "keep"
    assert example_from_row({"messages": chat}, mapping).messages == [*chat, WAITING[-1]]
    empty = [*chat, {"role": "assistant", "content": "  "}]
    assert example_from_row({"messages": empty}, mapping).messages == [*chat, WAITING[-1]]
    whole = [*chat, HELLO[-1]]
    assert example_from_row({"messages": whole}, mapping).messages == whole


def test_rows_without_a_prompt_are_rejected_even_if_unanswered_ones_are_kept():
    mapping = inferred([{"prompt": "Hello"}])
    with pytest.raises(RowError, match="empty"):
        example_from_row({"prompt": " "}, mapping)
    chat = inferred([{"messages": HELLO[:1]}])
    with pytest.raises(RowError):
        example_from_row({"messages": [{"role": "system", "content": "x"}]}, chat)


def test_key_and_group_columns_are_recognised():
    rows = [
        {"id": f"t{n}", "thread_id": f"a{n // 2}", "prompt": "Hello", "answer": "Hi"}
        for n in range(4)
    ]
    mapping = inferred(rows)
    assert (mapping["key"], mapping["group"]) == ("id", "thread_id")
    assert key_and_group_of_row(rows[3], mapping) == {"key": "t3", "group": "a1"}


def test_a_column_with_duplicates_is_no_key():
    mapping = inferred([{"id": "1", "prompt": "Hello", "answer": "Hi"}] * 2)
    assert mapping["key"] == ""
    assert key_and_group_of_row({"id": "1"}, mapping) == {}


def test_long_keys_are_shortened_and_stay_unique():
    mapping = {"key": "id", "group": "g"}
    one = key_and_group_of_row({"id": "x" * 500 + "1", "g": "y" * 99}, mapping)
    other = key_and_group_of_row({"id": "x" * 500 + "2", "g": "y" * 99}, mapping)
    assert len(one["key"]) == 200
    assert len(one["group"]) == 64
    assert one["key"] != other["key"]
    assert one["group"] == other["group"]


def test_keys_are_written_to_the_rows(stored, tmp_path, channel):
    path = stored(b"id,prompt,answer\na1,Hello,Hi\na2,Bye,\n")
    mapping = {
        "style": "pairs",
        "prompt": "prompt",
        "answer": "answer",
        "key": "id",
        "unanswered": "keep",
    }
    shape = inspect_file(path, "f.csv", {}, channel)["shape"]
    read_rows(path, tmp_path, shape, mapping, channel)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    assert [row["key"] for row in rows] == ["a1", "a2"]
    assert rows[1]["messages"][-1] == {"role": "assistant", "content": ""}


def test_an_answer_of_several_messages_is_refused_unless_they_repeat_the_prompt():
    mapping = {"style": "pairs", "prompt": "prompt", "answer": "chosen"}
    for asked in ("Hello", HELLO[:1]):
        assert example_from_row({"prompt": asked, "chosen": HELLO}, mapping).messages == HELLO
        with pytest.raises(RowError, match="The answer has 3 messages"):
            example_from_row({"prompt": asked, "chosen": [*HELLO, HELLO[1]]}, mapping)


WHOLE = [
    {
        "systemInstruction": {"role": "system", "parts": [{"text": "Be brief"}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"text": "Hi"}]},
        ],
    },
    {
        "system": "Be brief",
        "conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}],
    },
    {"messages": [{"role": "developer", "content": "Be brief"}, *HELLO]},
    {"system": "Be brief", "instruction": "Hello", "input": "", "output": "Hi"},
    {"system_prompt": "Be brief", "prompt": "Hello", "completion": "Hi"},
]


@pytest.mark.parametrize("row", WHOLE)
def test_system_prompts_are_found_in_every_format(row):
    assert conversations([row]) == [[{"role": "system", "content": "Be brief"}, *HELLO]]


def test_the_history_of_an_alpaca_row_precedes_its_prompt():
    row = {"instruction": "Bye", "output": "Take care", "history": [["Hello", "Hi"]]}
    assert conversations([row]) == [
        [*HELLO, {"role": "user", "content": "Bye"}, {"role": "assistant", "content": "Take care"}]
    ]


CHAT = {"style": "messages", "messages": "messages", "system": "rules"}
PAIRS = {"style": "pairs", "prompt": "prompt", "answer": "answer", "context": "notes"}
ASKED = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("row", "mapping", "why"),
    [
        (
            {"messages": [{"role": "system", "content": "Be brief"}, *HELLO], "rules": "Be rude"},
            CHAT,
            "instructions of its own, and “rules” has others",
        ),
        (
            {"prompt": ASKED, "answer": "Hi", "notes": "It rains."},
            PAIRS,
            "“notes” has more text",
        ),
        (
            {"prompt": ASKED, "answer": "Hi", "history": [["a", "b"]]},
            PAIRS,
            "“history” has more text",
        ),
        ({"prompt": "Bye", "answer": "Hi", "history": [["Hello"]]}, PAIRS, "not a list of earlier"),
        ({"prompt": "Bye", "answer": "Hi", "history": "Hello"}, PAIRS, "not a list of earlier"),
        ({"prompt": "Bye", "answer": "Hi", "history": '["a"]'}, PAIRS, "not a list of earlier"),
    ],
)
def test_what_would_be_lost_refuses_the_row(row, mapping, why):
    with pytest.raises(RowError, match=why):
        example_from_row(row, mapping)


@pytest.mark.parametrize("nothing", ["", "[]", None, []])
def test_an_empty_history_loses_nothing(nothing):
    row = {"prompt": "Hello", "answer": "Hi", "history": nothing}
    assert example_from_row(row, PAIRS).messages == HELLO


def test_the_same_instructions_twice_are_taken_once():
    chat = [{"role": "system", "content": "Be brief"}, *HELLO]
    assert example_from_row({"messages": chat, "rules": " Be brief\n"}, CHAT).messages == chat


def weighted(*weights: object) -> list[dict]:
    """A conversation whose answers have these weights."""
    return [
        {"role": role, "content": text} | more
        for weight in weights
        for role, text, more in [
            ("user", "Hello", {}),
            ("assistant", "Hi", {} if weight is None else {"weight": weight}),
        ]
    ]


@pytest.mark.parametrize("zero", ["0", "0.0"])  # as numbers are read: exactly as written
def test_an_answer_with_the_weight_0_keeps_it(zero):
    (messages,) = conversations([{"messages": weighted(zero, "1", None)}])
    assert [one.get("weight") for one in messages[1::2]] == [0, None, None]
    (messages,) = conversations(
        [{"conversations": [{"from": "gpt", "value": "Hi", "weight": zero}, *HELLO]}]
    )
    assert messages[0]["weight"] == 0


@pytest.mark.parametrize(
    ("chat", "why"),
    [
        (weighted("0.5", "1"), "Message 2 has the weight 0.5. A weight is 0 .* or 1"),
        (weighted("-1", "1"), "weight -1"),
        (weighted(True, "1"), "weight true"),
        (weighted("yes", "1"), "weight yes"),
        (weighted({"a": "0"}, "1"), "weight {"),
        ([HELLO[0] | {"weight": "1"}, HELLO[1]], "only the assistant's are learned"),
        (weighted("0", "0"), "Every answer has the weight 0"),
        (weighted("0"), "Every answer has the weight 0"),
        (weighted("1", "0"), "The last answer has the weight 0"),
    ],
)
def test_a_row_with_another_weight_is_refused(chat, why):
    with pytest.raises(RowError, match=why):
        conversations([{"messages": chat}])


def test_the_refused_weight_is_listed_with_its_line(import_file):
    rows = [weighted(0, 1), weighted(0.5, 1), weighted(1, 0)]
    kept, result = import_file(
        b"".join(json.dumps({"messages": row}).encode() + b"\n" for row in rows), "f.jsonl"
    )
    assert [row["messages"][1] for row in kept] == [HELLO[1] | {"weight": 0}]
    assert [row["line"] for row in result["rejected"]] == [2, 3]
    assert "the weight 0.5" in result["rejected"][0]["reason"]


def test_a_tool_in_another_format_is_rejected():
    chat = [HELLO[0], {"from": "observation", "value": "4"}, HELLO[1]]
    with pytest.raises(RowError, match="Write calls as “tool_calls”"):
        conversations([{"messages": chat}])


@pytest.mark.parametrize(
    "row",
    [
        *WHOLE,
        {"instruction": "Bye", "output": "Take care", "history": [["Hello", "Hi"]]},
    ],
)
def test_samples_on_the_page_equal_the_rows_learned(stored, channel, row):
    """The page gets every cell as text."""
    inspection = inspect_file(stored(json.dumps(row).encode()), "f.json", {}, channel)
    shown = inspection["shape"]["rows"][0]["cells"]
    assert all(isinstance(cell, str) for cell in shown.values())
    mapping = inspection["mapping"] | {"unread": TAKE_WITHOUT}
    assert example_from_row(shown, mapping).messages == example_from_row(row, mapping).messages


def test_a_system_prompt_of_json_is_kept_as_text():
    row = {"system": '{"tone": "warm", "parts": ["a"]}', "prompt": "Hello", "answer": "Hi"}
    assert conversations([row])[0][0]["content"] == row["system"]


BLANK = "\u00a0\u2003"
PAIR = {"style": "pairs", "prompt": "prompt", "answer": "answer"}
CHAT = {"style": "messages", "messages": "messages"}
BLANK_QUESTION = {"role": "user", "content": BLANK}
YES = {"role": "assistant", "content": "Yes"}


@pytest.mark.parametrize(
    ("row", "mapping", "why"),
    [
        ({"prompt": "Is it ready?", "answer": BLANK}, PAIR, "nothing to learn"),
        ({"prompt": BLANK, "answer": "Yes"}, PAIR, "nothing is asked"),
        ({"messages": [BLANK_QUESTION, YES]}, CHAT, "Nobody asks anything"),
        ({"prompt": [BLANK_QUESTION], "answer": "Yes"}, PAIR, "Nobody asks anything"),
        (
            {"prompt": [{"role": "user", "content": "Is it?"}, YES], "answer": "No"},
            PAIR,
            "ends in an answer already",
        ),
    ],
)
def test_a_row_without_a_question_or_its_answer_is_refused(row, mapping, why):
    with pytest.raises(RowError, match=why):
        example_from_row(row, mapping)
