"""The messages of a conversation with a model, in OpenAI's chat format."""

from collections.abc import Iterable
from typing import Any, Literal, NotRequired, TypedDict

Tool = dict[str, Any]
"""A function that the model may call: {"type": "function", "function": {"name", ...}}."""


class FunctionCall(TypedDict):
    """`arguments` is the text of a JSON object, as the model wrote it."""

    name: str
    arguments: str


class ToolCall(TypedDict):
    id: str
    type: Literal["function"]
    function: FunctionCall


class Message(TypedDict):
    """One message. `role` is "system", "user", "assistant", or "tool" for the result of a call.

    weight: only 0, and only in an answer before the last: the model reads it and does not learn it.
    tool_calls: of an answer that calls tools; `content` is then often empty.
    reasoning_content: of an answer, the thought that a thinking model writes before it.
    tool_call_id: of a result, the call that it belongs to; `name` that of the function.
    """

    role: str
    content: str
    weight: NotRequired[Literal[0]]
    tool_calls: NotRequired[list[ToolCall]]
    reasoning_content: NotRequired[str]
    tool_call_id: NotRequired[str]
    name: NotRequired[str]


def is_learned(message: Message) -> bool:
    """Whether the model learns to write this message: an answer without the weight 0."""
    return message["role"] == "assistant" and message.get("weight") != 0


def without_thoughts(messages: Iterable[Message]) -> list[Message]:
    """For who does not know the key, or refuses it."""
    return [
        {key: value for key, value in one.items() if key != "reasoning_content"}  # type: ignore[misc]
        if "reasoning_content" in one
        else one
        for one in messages
    ]


def without_weights(messages: Iterable[Message]) -> list[Message]:
    """What a model reads: everything but the weights."""
    return [
        {key: value for key, value in one.items() if key != "weight"}  # type: ignore[misc]
        if "weight" in one
        else one
        for one in messages
    ]
