"""Tools in requests for chat completions: which functions may be called, and earlier calls."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.tool_calls import name_of
from finetune_app.gateway.errors import invalid_request
from finetune_app.gateway.json_body import JsonObject
from finetune_app.imports.cell_values import RowError
from finetune_app.imports.tool_calls import (
    message_calls,
    require_matching,
    result_keys,
    row_tools,
)

MAX_SCHEMA_CHARACTERS = 64_000
DEFINITIONS = ("$defs", "definitions")  # the older name, too
REFERENCE = re.compile(r"#/\$?(defs|definitions)/([^/]+)")


@dataclass(frozen=True)
class ToolRequest:
    """Which functions an answer may call.

    schema: of a call that the answer has to be, as JSON text; "" if the model decides.
    is_single: it may call one function at most.
    """

    tools: list[Tool] = field(default_factory=list)
    schema: str = ""
    is_single: bool = False


def requested_tools(given: JsonObject) -> ToolRequest:
    """Raises ApiError."""
    try:
        tools = row_tools({"tools": given.get("tools")}).get("tools", [])
    except RowError as problem:
        raise invalid_request(str(problem), "tools") from problem
    choice, parallel = given.get("tool_choice"), given.get("parallel_tool_calls")
    if parallel not in (None, True, False):
        raise invalid_request("“parallel_tool_calls” is true or false.", "parallel_tool_calls")
    if choice == "none":
        return ToolRequest()
    if choice not in (None, "auto"):
        tools_to_choose = _chosen(choice, tools)
        try:
            schema = call_schema(tools_to_choose)
        except RecursionError:
            raise invalid_request("The parameters are nested too deeply.", "tools") from None
    else:
        schema = ""
    if tools and given.get("response_format"):
        raise invalid_request(
            "“response_format” cannot be used with “tools”: a call would break it.",
            "response_format",
        )
    return ToolRequest(tools, schema, is_single=parallel is False)


def _chosen(choice: object, tools: Sequence[Tool]) -> Sequence[Tool]:
    """The functions of which one has to be called. Raises ApiError."""
    if choice == "required" and tools:
        return tools
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    chosen = [tool for tool in tools if name_of(tool) == name]
    if not chosen:
        raise invalid_request(
            "“tool_choice” is “auto”, “none”, “required”, or {“type”: “function”, “function”: "
            "{“name”: …}} with the name of one of “tools”.",
            "tool_choice",
        )
    return chosen


def call_schema(tools: Sequence[Tool]) -> str:
    """The JSON schema of a call of one of these functions, in the form that `calls_in` reads.

    Definitions of each function's parameters move to the root, where references look for them.
    Raises ApiError, and RecursionError for parameters that are nested too deeply.
    """
    calls: list[JsonObject] = []
    definitions: JsonObject = {}
    for number, tool in enumerate(tools):
        parameters = dict(_object(tool["function"].get("parameters"), "parameters", tool))
        for key in DEFINITIONS:
            for name, found in _object(parameters.pop(key, None), key, tool).items():
                definitions[f"{key.strip('$')}{number}.{name}"] = _moved(found, number)
        arguments = {"type": "object"} | _moved(parameters, number)
        calls.append(
            {
                "type": "object",
                "properties": {"name": {"const": name_of(tool)}, "arguments": arguments},
                "required": ["name", "arguments"],
                "additionalProperties": False,
            }
        )
    schema: JsonObject = {"anyOf": calls} if len(calls) > 1 else calls[0]
    text = json.dumps(schema | ({"$defs": definitions} if definitions else {}))
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise invalid_request(
            f"The parameters are longer than {MAX_SCHEMA_CHARACTERS:,} characters.", "tools"
        )
    return text


def _object(value: Any, name: str, tool: Tool) -> JsonObject:
    """{} where it is missing. Raises ApiError if it is not an object."""
    if value is not None and not isinstance(value, dict):
        raise invalid_request(
            f"“{name}” of the function “{name_of(tool)}” must be a JSON object.", "tools"
        )
    return value or {}


def _moved(value: Any, number: int) -> Any:
    """`value` with its references to definitions of the function `number` as they are called at
    the root."""
    if isinstance(value, list):
        return [_moved(one, number) for one in value]
    if not isinstance(value, dict):
        return value
    moved = {name: _moved(one, number) for name, one in value.items()}
    found = REFERENCE.fullmatch(moved["$ref"]) if isinstance(moved.get("$ref"), str) else None
    if found:
        moved["$ref"] = f"#/$defs/{found[1]}{number}.{found[2]}"
    return moved


def tool_fields(item: Mapping[str, Any], role: str, at: int) -> Message:
    """The fields of message `at` (from 0) about tools, with an empty text. Raises ApiError."""
    message: Message = {"role": role, "content": ""}
    try:
        calls = message_calls(item, at + 1) if role == "assistant" else []
    except RowError as problem:
        raise invalid_request(str(problem), f"messages[{at}].tool_calls") from problem
    if calls:
        message["tool_calls"] = calls
    if role == "tool":
        message.update(result_keys(item))  # type: ignore[typeddict-item]
    return message


def require_answered_calls(messages: Sequence[Message]) -> None:
    """Raises ApiError unless every call has its result, and every result its call.

    Earlier calls may be of functions that this request does not offer any more.
    """
    names = {call["function"]["name"] for one in messages for call in one.get("tool_calls", ())}
    called: list[Tool] = [{"type": "function", "function": {"name": name}} for name in names]
    try:
        require_matching(messages, {"tools": called})
    except RowError as problem:
        raise invalid_request(str(problem), "messages") from problem
