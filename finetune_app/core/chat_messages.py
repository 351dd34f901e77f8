"""The messages of a conversation with a model, in OpenAI's chat format."""

from collections.abc import Iterable
from typing import Literal, NotRequired, TypedDict


class Message(TypedDict):
    """One message. `role` is "system", "user" or "assistant".

    weight: only 0, and only in an answer before the last: the model reads it and does not learn it.
    """

    role: str
    content: str
    weight: NotRequired[Literal[0]]


def is_learned(message: Message) -> bool:
    """Whether the model learns to write this message: an answer without the weight 0."""
    return message["role"] == "assistant" and message.get("weight") != 0


def without_weights(messages: Iterable[Message]) -> list[Message]:
    """What a model reads: roles and texts alone."""
    return [
        {"role": one["role"], "content": one["content"]} if "weight" in one else one
        for one in messages
    ]
