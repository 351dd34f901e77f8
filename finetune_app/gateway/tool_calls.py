"""Tools in requests for chat completions: which functions may be called, and earlier calls."""

from collections.abc import Mapping, Sequence
from typing import Any

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.gateway.errors import invalid_request
from finetune_app.gateway.json_body import JsonObject
from finetune_app.imports.cell_values import RowError
from finetune_app.imports.tool_calls import (
    message_calls,
    require_matching,
    result_keys,
    row_tools,
)


def requested_tools(given: JsonObject) -> list[Tool]:
    """The functions that the answer may call. Raises ApiError.

    What a prompt cannot bring about is refused: that some function is called, or only one.
    """
    try:
        tools = row_tools({"tools": given.get("tools")}).get("tools", [])
    except RowError as problem:
        raise invalid_request(str(problem), "tools") from problem
    choice = given.get("tool_choice")
    if choice not in (None, "auto", "none"):
        raise invalid_request(
            "“tool_choice” can be “auto” or “none” here; the model decides.", "tool_choice"
        )
    if choice == "none":
        return []
    if tools and given.get("parallel_tool_calls") is False:
        raise invalid_request(
            "“parallel_tool_calls” cannot be switched off here; the model decides. Leave it out.",
            "parallel_tool_calls",
        )
    if tools and given.get("response_format"):
        raise invalid_request(
            "“response_format” cannot be used with “tools”: a call would break it.",
            "response_format",
        )
    return tools


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
