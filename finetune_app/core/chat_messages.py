"""The messages of a conversation with a model, in OpenAI's chat format."""

from typing import TypedDict


class Message(TypedDict):
    """One message. `role` is "system", "user" or "assistant"."""

    role: str
    content: str
