"""Reads the thought before an answer: from a key of the message, from a column of its own, or from
`<think>...</think>` at the start of the answer. Pure Python."""

from collections.abc import Mapping
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.core.thinking import split_thought
from finetune_app.imports.cell_values import ExactNumber, RowError, has_content

KEY = "reasoning_content"
SYNONYMS = ("reasoning", "thinking")  # only as the text of an answer: they may be settings, too
KEYS = {KEY, *SYNONYMS}
COLUMN_NAMES = (
    KEY,
    "reasoning",
    "thought",
    "thoughts",
    "thinking",
    "chain_of_thought",
    "complex_cot",
)


def is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, ExactNumber)


def thought_keys(message: Mapping[str, Any], is_answer: bool) -> tuple[str, ...]:
    """The keys of a message that are read as its thought."""
    return (KEY, *(name for name in SYNONYMS if is_answer and is_text(message.get(name))))


def given_thought(item: Mapping[str, Any], role: str, number: int) -> str:
    """The thought in the keys of message `number` (from 1); "" for none. Raises RowError."""
    if item.keys().isdisjoint(KEYS):  # nearly every message
        return ""
    found: list[str] = []
    for key in thought_keys(item, role == "assistant"):
        value = item.get(key)
        if not has_content(value):
            continue
        if role != "assistant":
            raise RowError(
                f"Message {number} has a thought (“{key}”), but only the assistant’s have one. "
                "Move it to the answer, or leave it out."
            )
        if not is_text(value):
            raise RowError(
                f"“{key}” of message {number} is not text. Write the thought as text, or leave it "
                "out."
            )
        found.append(str(value).strip())
    found = list(dict.fromkeys(filter(None, found)))
    if len(found) > 1:
        raise RowError(_twice(f"Message {number}"))
    return found[0] if found else ""


def column_thought(value: Any, column: str) -> str:
    """The thought in a column; "" for none. Raises RowError."""
    if not has_content(value):
        return ""
    if not is_text(value):
        raise RowError(
            f"“{column}” is not text, so it cannot be the thought. Correct it, or choose no column "
            "for the thought."
        )
    return str(value).strip()


def with_own_thought(message: Message, given: str, who: str) -> Message:
    """An answer with its thought: the one that it has, the one given beside it, or the one that its
    text begins with, which is taken out of the text. `who` names the answer in errors.

    Raises RowError for two thoughts that differ, and for a thought without an answer.
    """
    begun, content = split_thought(message["content"])
    if content is message["content"] and not given:  # nearly every answer
        return message
    found = {one for one in (message.get("reasoning_content", ""), given, begun.strip()) if one}
    if len(found) > 1:
        raise RowError(_twice(who))
    if not found:
        return {**message, "content": content}
    if not content.strip() and not message.get("tool_calls"):
        raise RowError(f"{who} is a thought without an answer. Write what follows the thought.")
    return {**message, "content": content, "reasoning_content": found.pop()}


def _twice(who: str) -> str:
    return f"{who} has two thoughts, and they differ. Leave one of them out."
