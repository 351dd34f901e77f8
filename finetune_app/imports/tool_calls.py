"""Reads tools and their calls from a row, as OpenAI writes them, and checks that they fit.

Pure Python. A row has its `tools` beside the conversation; an answer may have `tool_calls`, and a
message with the role "tool" the result of one of them.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from finetune_app.core.chat_messages import Message, Tool, ToolCall
from finetune_app.core.tool_calls import NAME, name_of
from finetune_app.imports.cell_values import (
    RowError,
    cell_text,
    has_content,
    parsed_cell,
)

TOOLS, PARALLEL = "tools", "parallel_tool_calls"  # columns, or keys beside the messages
ROW_KEYS = (TOOLS, PARALLEL)
MAX_TOOLS = 128
MAX_TOOL_CHARACTERS = 200_000  # of all tools of a row
FLAGS = {"true": True, "false": False}


class RowTools(TypedDict, total=False):
    """What a row says about tools; empty for one that has none."""

    tools: list[Tool]
    parallel_tool_calls: bool


def row_tools(cells: Mapping[str, Any], conversation: Any = None) -> RowTools:
    """The tools of a row: in its columns, or beside the messages of its conversation.

    Raises RowError for tools that cannot be read, and for two lists of them.
    """
    around = conversation if isinstance(conversation, Mapping) else {}
    found: RowTools = {}
    given = [box[TOOLS] for box in (cells, around) if has_content(box.get(TOOLS))]
    if len(given) > 1 and given[0] != given[1]:
        raise RowError("The row has “tools” twice, and they differ. Leave one of them out.")
    if given:
        found["tools"] = _read_tools(given[0])
    flags = [box[PARALLEL] for box in (cells, around) if has_content(box.get(PARALLEL))]
    if flags:
        found["parallel_tool_calls"] = _flag(flags[0])
    return found


def _read_tools(value: Any) -> list[Tool]:
    value = parsed_cell(value)
    if not isinstance(value, list):
        raise RowError("“tools” is not a list of functions. Write it as OpenAI does.")
    if len(value) > MAX_TOOLS:
        raise RowError(f"The row has {len(value):,} tools; the most is {MAX_TOOLS}.")
    text = cell_text(value)
    if len(text) > MAX_TOOL_CHARACTERS:
        raise RowError(f"The tools are longer than {MAX_TOOL_CHARACTERS:,} characters.")
    try:
        tools: list[Tool] = json.loads(text, parse_constant=_no_constant, parse_int=_number)
    except (ValueError, RecursionError) as error:
        raise RowError("“tools” holds a number that JSON does not have, such as NaN.") from error
    for number, tool in enumerate(tools, 1):
        function = tool.get("function") if isinstance(tool, dict) else None
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str) or not NAME.fullmatch(name):
            raise RowError(
                f"Tool {number} is not a function with a name of letters, digits and dashes: "
                "{“type”: “function”, “function”: {“name”: …}}."
            )
    names = [name_of(tool) for tool in tools]
    twice = next((name for name in names if names.count(name) > 1), "")
    if twice:
        raise RowError(f"Two tools are called “{twice}”. Leave one of them out.")
    return tools


def _flag(value: Any) -> bool:
    flag = FLAGS.get(cell_text(value).strip().lower())
    if flag is None:
        raise RowError("“parallel_tool_calls” is true or false.")
    return flag


def message_calls(item: Mapping[str, Any], number: int) -> list[ToolCall]:
    """The calls of message `number` (from 1). Raises RowError."""
    if not has_content(item.get("tool_calls")):
        return []
    given = parsed_cell(item["tool_calls"])
    if not isinstance(given, list):
        raise RowError(f"“tool_calls” of message {number} is not a list of calls.")
    return [_call(one, number, place) for place, one in enumerate(given, 1)]


def _call(given: Any, number: int, place: int) -> ToolCall:
    function = given.get("function") if isinstance(given, Mapping) else None
    name = function.get("name") if isinstance(function, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(name, str):
        raise RowError(
            f"Call {place} of message {number} names no function: {{“id”: …, “function”: {{“name”: "
            "…, “arguments”: …}}}."
        )
    arguments = function.get("arguments")
    text = "{}" if arguments is None else cell_text(arguments)
    if not _is_object(text):
        raise RowError(
            f"The arguments of “{name[:60]}” in message {number} are not the JSON text of an "
            "object. Correct them."
        )
    identifier = given.get("id")
    call_id = cell_text(identifier) if has_content(identifier) else f"call_{number}_{place}"
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": text}}


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text, parse_constant=_no_constant), dict)
    except (ValueError, RecursionError):
        return False


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _number(text: str) -> int | float:
    """A whole number; one of more than 64 bits, which other programs cannot read, as a float."""
    return int(text) if len(text) < 19 else float(text)


def result_keys(item: Mapping[str, Any]) -> dict[str, str]:
    """`tool_call_id` and `name` of the result of a call, those that it has."""
    return {key: cell_text(item[key]) for key in ("tool_call_id", "name") if item.get(key)}


def require_matching(messages: Sequence[Message], row: RowTools) -> None:
    """Raises RowError where a call has no tool, or a result no call, or the other way around."""
    names = {name_of(tool) for tool in row.get("tools", ())}
    waiting: dict[str, str] = {}  # calls without a result yet: id -> function
    seen: set[str] = set()
    for number, message in enumerate(messages, 1):
        if message["role"] == "tool":
            _require_call(message, waiting, number)
            continue
        if waiting:
            raise RowError(
                f"Message {number} comes before the result of “{next(iter(waiting.values()))}”. "
                "Add a message with the role “tool” after the call."
            )
        calls = message.get("tool_calls", [])
        if len(calls) > 1 and row.get("parallel_tool_calls") is False:
            raise RowError(
                f"Message {number} calls {len(calls)} tools at once, but “parallel_tool_calls” is "
                "false. Write them one after the other."
            )
        for call in calls:
            name = call["function"]["name"]
            if name not in names:
                raise RowError(
                    f"Message {number} calls “{name[:60]}”, which is not among the row’s tools. "
                    "Add it to “tools”."
                )
            if call["id"] in seen:
                raise RowError(f"Two calls have the id “{call['id'][:60]}”. Give each its own.")
            seen.add(call["id"])
            waiting[call["id"]] = name


def _require_call(message: Message, waiting: dict[str, str], number: int) -> None:
    """Raises RowError where a result belongs to no call before it; else the call has its result.

    Without an id a result belongs to the only call that waits for one, or the first of that name.
    """
    given = message.get("tool_call_id", "")
    if not given:
        named = [one for one, name in waiting.items() if name == message.get("name")]
        found = named or (list(waiting) if len(waiting) == 1 else [])
        given = found[0] if found else ""
        message["tool_call_id"] = given
    if given not in waiting:
        raise RowError(
            f"Message {number} is the result of a tool, but no call before it has the id "
            f"“{given[:60]}”. Correct its “tool_call_id”."
        )
    del waiting[given]
