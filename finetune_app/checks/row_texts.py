"""All texts of a row that a check reads and that a fix may rewrite."""

import json
from collections.abc import Callable

from finetune_app.core.chat_messages import Message, ToolCall


def row_texts(messages: list[Message], rejected: str = "") -> list[str]:
    """The text of each message, the worse answer, then the thoughts and the arguments of calls.

    The index of a text is the `message` of a Mark.
    """
    texts = [str(message.get("content", "")) for message in messages] + [rejected]
    return texts + [text for message in messages for text in texts_beside(message)]


def texts_beside(message: Message) -> list[str]:
    """The thought of a message and the arguments of its calls."""
    calls = message.get("tool_calls", ())
    arguments = [_readable(call["function"]["arguments"]) for call in calls]
    thought = message.get("reasoning_content", "")
    return [thought, *arguments] if thought else arguments


def rewritten(message: Message, change: Callable[[str], str]) -> Message:
    """The message with `change` applied to all of its texts. Arguments stay the text of a JSON
    object."""
    new: Message = {**message, "content": change(message["content"])}
    if "reasoning_content" in message:
        new["reasoning_content"] = change(message["reasoning_content"])
    if "tool_calls" in message:
        new["tool_calls"] = [_with_arguments(call, change) for call in message["tool_calls"]]
    return new


def _with_arguments(call: ToolCall, change: Callable[[str], str]) -> ToolCall:
    arguments = call["function"]["arguments"]
    text = _readable(arguments)
    changed = change(text)
    if not _is_object(changed):  # a placeholder in place of a number is not JSON
        changed = json.dumps(_changed(json.loads(text), change), ensure_ascii=False)
    if changed == text:
        return call
    return {**call, "function": {**call["function"], "arguments": changed}}


def _changed(value: object, change: Callable[[str], str]) -> object:
    if isinstance(value, dict):
        return {name: _changed(inner, change) for name, inner in value.items()}
    if isinstance(value, list):
        return [_changed(inner, change) for inner in value]
    if isinstance(value, str):
        return change(value)
    text = json.dumps(value, ensure_ascii=False)
    return value if change(text) == text else change(text)


def _readable(arguments: str) -> str:
    """The arguments with letters in place of their JSON escapes (\\u00fc)."""
    try:
        return json.dumps(json.loads(arguments), ensure_ascii=False)
    except ValueError:
        return arguments


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False
