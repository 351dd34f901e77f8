"""The rows of a frozen version, and what they have in common."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

from django.utils.translation import gettext as _

from finetune_app.core.chat_messages import Message, Tool
from finetune_app.core.errors import PlainError
from finetune_app.core.thinking import split_thought, with_thought


class Row(TypedDict):
    """One line of a frozen file. `id` is the example's number."""

    id: int
    split: str
    messages: list[Message]
    rejected: NotRequired[str]  # of a training pair: a worse answer than the last message
    tools: NotRequired[list[Tool]]
    parallel_tool_calls: NotRequired[bool]
    group: NotRequired[str]  # what it shares with others, such as a thread or a document
    source: str


TOOL_KEYS = ("tools", "parallel_tool_calls")  # of a row that has tools
THOUGHT = "reasoning_content"  # the key of a message, and the column of a table
Rows = Callable[[], Iterator[Row]]


@dataclass(frozen=True)
class Facts:
    """What all rows have in common, collected in one pass."""

    rows: int
    system: bool  # some row has instructions
    simple: bool  # every row is one question and its answer, instructions aside
    turns: bool  # in every row user and assistant alternate after the instructions
    unlearned: bool = False  # some answer is read and not learned
    tools: bool = False  # some row has tools
    pairs: int = 0  # rows with a worse answer
    thoughts: bool = False  # some answer has a thought
    plain_thoughts: bool = True  # every thought can be written before its answer and read again
    groups: bool = False  # some row belongs together with others

    @property
    def only_pairs(self) -> bool:
        return 0 < self.rows == self.pairs


def rows_in(path: Path) -> Rows:
    def rows() -> Iterator[Row]:
        with path.open(encoding="utf-8") as file:
            for line in file:
                yield json.loads(line)

    return rows


def facts_of(rows: Rows, encoding: str = "utf-8") -> Facts:
    """Collect the facts. Raises PlainError if the encoding lacks a character."""
    count = pairs = 0
    system, simple, turns, unlearned, tools = False, True, True, False, False
    thoughts, plain_thoughts, groups = False, True, False
    whole = encoding.startswith("utf")
    for row in rows():
        count += 1
        instructions, rest = split_off(row["messages"])
        system |= bool(instructions)
        roles = [message["role"] for message in rest]
        simple &= roles == ["user", "assistant"] and "tools" not in row
        turns &= roles == ["user", "assistant"] * (len(roles) // 2)
        pairs += "rejected" in row
        unlearned |= any("weight" in message for message in row["messages"])
        tools |= bool(row.keys() & TOOL_KEYS)
        thinking = [message for message in row["messages"] if THOUGHT in message]
        thoughts |= bool(thinking)
        plain_thoughts &= all(map(_is_plain_thought, thinking))
        groups |= "group" in row
        if not whole:
            for text in _texts(row):
                _require_writable(text, encoding, row["id"])
    return Facts(
        count, system, simple, turns, unlearned, tools, pairs, thoughts, plain_thoughts, groups
    )


def _is_plain_thought(message: Message) -> bool:
    thought, answer = split_thought(spoken(message))
    return (thought, answer) == (message["reasoning_content"], message["content"])


def spoken(message: Message) -> str:
    """The text of a message, an answer behind its thought, for formats without a key for it."""
    if THOUGHT not in message:
        return message["content"]
    return with_thought(message["content"], message["reasoning_content"])


def _texts(row: Row) -> Iterator[str]:
    for message in row["messages"]:
        yield message["content"]
        yield message.get("reasoning_content", "")
        if "tool_calls" in message:
            yield json.dumps(message, ensure_ascii=False)
    yield row.get("rejected", "")
    yield row.get("group", "")
    if "tools" in row:
        yield json.dumps(row["tools"], ensure_ascii=False)


def _require_writable(text: str, encoding: str, number: int) -> None:
    try:
        text.encode(encoding)
    except UnicodeEncodeError as error:
        raise PlainError(
            _(
                "Example %(n)s holds “%(character)s”, which %(encoding)s cannot write. "
                "Choose UTF-8 instead."
            )
            % {"n": number, "character": text[error.start], "encoding": encoding.upper()},
            status=409,
        ) from error


def split_off(messages: list[Message]) -> tuple[str, list[Message]]:
    """(the instructions at the start or "", the other messages)."""
    if messages and messages[0]["role"] == "system":
        return messages[0]["content"], messages[1:]
    return "", messages
