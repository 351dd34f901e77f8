"""Rows with tools are taken whole; what does not fit together is refused with what to do."""

import json

import pytest

from finetune_app.imports.cell_values import RowError, parse_json
from finetune_app.imports.column_mapping import content_from_row
from tests.tool_rows import (
    TOOLS,
    WEATHER,
    answer,
    answered_row,
    as_stored,
    call,
    calling,
    calling_row,
    question,
    result,
)

CHATS = {"style": "messages", "messages": "messages"}


@pytest.mark.parametrize("row", [answered_row("Rome"), calling_row("Rome")])
@pytest.mark.parametrize("as_text", [False, True])
def test_a_row_is_taken_whole(row, as_text):
    cells = {key: json.dumps(value) for key, value in row.items()} if as_text else row
    expected = row | {"messages": as_stored(row["messages"]), "rejected": ""}
    assert content_from_row(cells, CHATS) == expected


def test_numbers_of_tools_and_arguments_stay_numbers():
    row = calling_row("Rome")
    tool = {"type": "function", "function": {"name": "get_weather", "strict": True, "max": 1.5}}
    read = content_from_row(parse_json(json.dumps(row | {"tools": [tool]})), CHATS)
    assert read["tools"] == [tool]
    written = {"name": "get_weather", "arguments": {"price": 1.5}}
    messages = [question("Rome"), {"role": "assistant", "tool_calls": [{"function": written}]}]
    text = json.dumps({"messages": messages, "tools": TOOLS}).replace("1.5", "1.50")
    read = content_from_row(parse_json(text), CHATS)
    [only] = read["messages"][-1]["tool_calls"]
    assert only["function"]["arguments"] == '{"price": 1.50}'
    assert only["id"]  # every call gets one, so that its result can name it


def test_the_tools_may_stand_beside_the_messages_in_one_cell():
    row = answered_row("Rome")
    read = content_from_row({"messages": row}, CHATS)
    assert read == row | {"messages": as_stored(row["messages"]), "rejected": ""}


def test_a_result_without_an_id_belongs_to_the_only_call():
    messages = [*answered_row("Rome")["messages"]]
    messages[2] = {"role": "tool", "content": "18 C"}
    read = content_from_row({"messages": messages, "tools": TOOLS}, CHATS)
    assert read["messages"][2]["tool_call_id"] == "call_x1"


ROME = question("Rome")
GOOD = call({"city": "Rome"})
NOT_JSON = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": "Rome"}}


@pytest.mark.parametrize(
    ("messages", "tools", "problem"),
    [
        ([ROME, calling(NOT_JSON)], TOOLS, "arguments of “get_weather” in message 2 are not"),
        ([ROME, calling(call({}, name="fly"))], TOOLS, "calls “fly”, which is not among the row’s"),
        ([ROME, calling(GOOD)], None, "which is not among the row’s tools"),
        ([ROME, calling({"id": "1"})], TOOLS, "Call 1 of message 2 names no function"),
        ([ROME, calling(GOOD), answer("Warm.")], TOOLS, "before the result of “get_weather”"),
        (
            [ROME, calling(GOOD), result("18", "call_y"), answer("Warm.")],
            TOOLS,
            "no call before it has the id “call_y”",
        ),
        ([ROME, result("18"), answer("Warm.")], TOOLS, "no call before it"),
        ([ROME, calling(GOOD, GOOD)], TOOLS, "Two calls have the id “call_x1”"),
        ([ROME | {"tool_calls": [GOOD]}, answer("a")], TOOLS, "only the assistant can"),
        ([ROME, calling(GOOD), result("18")], TOOLS, "does not end in an answer"),
        ([ROME, answer("Warm.")], "get_weather", "“tools” is not a list of functions"),
        ([ROME, answer("Warm.")], [{"name": "get_weather"}], "Tool 1 is not a function"),
        ([ROME, answer("Warm.")], [WEATHER, WEATHER], "Two tools are called “get_weather”"),
        (
            [ROME, {"role": "assistant", "content": None, "function_call": {"name": "f"}}],
            TOOLS,
            "which is not read here yet",
        ),
        ([ROME, {"role": "function", "content": "18"}, answer("a")], TOOLS, "Write calls as"),
    ],
)
def test_what_does_not_fit_is_refused_with_what_to_do(messages, tools, problem):
    with pytest.raises(RowError) as refused:
        content_from_row({"messages": messages, "tools": tools}, CHATS)
    assert problem in str(refused.value)


def test_two_calls_at_once_are_refused_where_the_row_says_one_at_a_time():
    two = calling(call({"city": "Rome"}), call({"city": "Oslo"}, call_id="call_x2"))
    row = {"messages": [ROME, two], "tools": TOOLS}
    assert len(content_from_row(row, CHATS)["messages"][1]["tool_calls"]) == 2
    with pytest.raises(RowError, match="calls 2 tools at once"):
        content_from_row(row | {"parallel_tool_calls": False}, CHATS)


def test_an_answer_in_a_column_of_its_own_cannot_call():
    pairs = {"style": "pairs", "prompt": "prompt", "answer": "answer"}
    row = {"prompt": [ROME], "answer": [calling(GOOD)], "tools": TOOLS}
    with pytest.raises(RowError, match="Put the whole conversation into one column"):
        content_from_row(row, pairs)
