"""Tools in requests for chat completions: which functions may be called, and earlier calls."""

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


@dataclass(frozen=True)
class ToolRequest:
    """Which functions an answer may call.

    required: names of those of which it has to call one; [] if the model decides.
    is_single: it may call one function at most.
    """

    tools: list[Tool] = field(default_factory=list)
    required: list[str] = field(default_factory=list)
    is_single: bool = False


def requested_tools(given: JsonObject) -> ToolRequest:
    """Raises ApiError."""
    try:
        tools = row_tools({"tools": given.get("tools")}).get("tools", [])
    except RowError as problem:
        raise invalid_request(str(problem), "tools") from problem
    except RecursionError:
        raise invalid_request("The parameters are nested too deeply.", "tools") from None
    _require_objects(tools)
    choice, parallel = given.get("tool_choice"), given.get("parallel_tool_calls")
    if parallel not in (None, True, False):
        raise invalid_request("“parallel_tool_calls” is true or false.", "parallel_tool_calls")
    if choice == "none":
        return ToolRequest()
    required = [] if choice in (None, "auto") else _chosen(choice, tools)
    if tools and given.get("response_format"):
        raise invalid_request(
            "“response_format” cannot be used with “tools”: a call would break it.",
            "response_format",
        )
    return ToolRequest(tools, required, is_single=parallel is False)


def _require_objects(tools: Sequence[Tool]) -> None:
    """Raises ApiError if the parameters of a function are no schema of an object."""
    for tool in tools:
        parameters = tool["function"].get("parameters")
        if parameters is not None and not isinstance(parameters, dict):
            raise invalid_request(
                f"“parameters” of the function “{name_of(tool)}” must be a JSON object.", "tools"
            )


def _chosen(choice: object, tools: Sequence[Tool]) -> list[str]:
    """Names of the functions of which one has to be called. Raises ApiError."""
    names = [name_of(tool) for tool in tools]
    if choice == "required" and names:
        return names
    function = choice.get("function") if isinstance(choice, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if name not in names:
        raise invalid_request(
            "“tool_choice” is “auto”, “none”, “required”, or {“type”: “function”, “function”: "
            "{“name”: …}} with the name of one of “tools”.",
            "tool_choice",
        )
    return [name]


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
