"""Helpers for the text of a conversation. Pure Python."""

import hashlib
import json
import re
import unicodedata
from itertools import zip_longest
from typing import Any

from finetune_app.core.chat_messages import Message
from finetune_app.core.tool_calls import answer_text, message_text

_ODD = re.compile(r"[\x00-\x1f\x7f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")


def normalise(text: str) -> str:
    """The text with normalised case, spaces and Unicode form, for comparison."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def newlines(text: str) -> str:
    """The text with LF line ends. Browsers send CR LF."""
    return text.replace("\r\n", "\n").replace("\r", "\n")


def last_content(messages: list[Message], role: str) -> str:
    return next((m["content"] for m in reversed(messages) if m.get("role") == role), "")


def last_answer(messages: list[Message]) -> str:
    """The text of the last answer, or its calls (core/tool_calls.py)."""
    return next((answer_text(m) for m in reversed(messages) if m.get("role") == "assistant"), "")


def last_thought(messages: list[Message]) -> str:
    """The thought before the last answer; "" for none."""
    last = messages[-1] if messages else None
    return last.get("reasoning_content", "") if last else ""


def with_answer(messages: list[Message], text: str) -> list[Message]:
    """The conversation, ending in this answer. The thought before an answer belongs to it: it stays
    where the answer is the same, and goes where it is another one."""
    if not messages or messages[-1]["role"] != "assistant":
        return [*messages, {"role": "assistant", "content": text}]
    *before, last = messages
    same = newlines(text) == newlines(answer_text(last))
    return [*before, last if same else {"role": "assistant", "content": text}]


def with_kept_thoughts(messages: list[Message], saved: list[Message]) -> list[Message]:
    """The conversation, with the thoughts that `saved` has before the same answers."""
    return [
        before if before and _without_thought(before) == message else message
        for message, before in zip_longest(messages, saved[: len(messages)])
    ]


def _without_thought(message: Message) -> dict[str, Any]:
    return {key: value for key, value in message.items() if key != "reasoning_content"}


def asked(messages: list[Message]) -> list[tuple[str, str]]:
    """(role, normalised text) of the messages before the answer, without instructions."""
    before = messages[:-1] if messages and messages[-1].get("role") == "assistant" else messages
    return [(m["role"], normalise(message_text(m))) for m in before if m.get("role") != "system"]


def prompt_hash(messages: list[Message]) -> str:
    """32 hex digits that are the same for the same question."""
    text = json.dumps(asked(messages), ensure_ascii=False)
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def clean_name(name: str, most: int = 120) -> str:
    """A file name that is safe to show and to offer for download: the last part of the path,
    without control characters and bidirectional marks."""
    tail = name.replace("\\", "/").rstrip("/").rpartition("/")[2]
    tail = " ".join(_ODD.sub(" ", tail).split()).strip(". ")
    if len(tail) > most:
        _stem, dot, ending = tail.rpartition(".")
        ending = dot + ending if dot and len(ending) <= 8 else ""
        tail = tail[: most - len(ending) - 1] + "…" + ending
    return tail or "file"
