"""All that can be seen in one row by itself. Pure: the same row gives the same look.

Marks are kept with a fingerprint of the row (`fingerprint`), so that an edit costs a look at the
rows it changed, and no more.
"""

import hashlib
import json
from collections.abc import Iterator

from finetune_app.checks.detectors import languages, mojibake, pii
from finetune_app.checks.detectors.refusals import refusal
from finetune_app.checks.rules.base import Mark, RowScan
from finetune_app.core.chat_messages import Message
from finetune_app.datasets.text import last_said, normalise

# Raise when a rule below, in pii.py or in refusals.py changes: every row is looked at again.
RULES = 4
ROLES = {"system", "user", "assistant"}
# What stands in a cell where nobody wrote an answer. The second set may be an answer of its own
# ("none" in a list of labels), which only the whole set can tell.
NO_ANSWER = {
    "n/a",
    "#n/a",
    "na",
    "n.a.",
    "null",
    "nan",
    "tbd",
    "todo",
    "-",
    "--",
    "?",
    "…",
    "...",
    "undefined",
    "no answer",
    "keine antwort",
}
PERHAPS_NO_ANSWER = {"none", "nil", "unknown", "empty"}
MOST_SPANS = 20  # highlighted in one row


def scan(messages: list[Message]) -> RowScan:
    """What is to be seen in a conversation; without what takes a process of its own."""
    marks = [*_shape(messages), *_answer(messages)]
    if all(isinstance(message.get("content"), str) for message in messages):
        marks += _stretches(messages)
        return RowScan(tuple(marks), languages.detect_language(messages))
    return RowScan(tuple(marks))


def fingerprint(messages: list[Message]) -> str:
    """32 hex digits, other ones for any other text or for other rules."""
    text = json.dumps([RULES, messages], ensure_ascii=False, sort_keys=True)
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _shape(messages: list[Message]) -> Iterator[Mark]:
    strange = [one.get("role") for one in messages if one.get("role") not in ROLES]
    if strange:
        yield Mark("unknown_role", what=str(strange[0])[:40])
    if not messages or messages[-1].get("role") != "assistant" or not _said(messages[-1]):
        yield Mark("no_answer")
    if not strange and not any(one["role"] == "user" and _said(one) for one in messages):
        yield Mark("no_question")
    if any(one.get("role") == "system" and _said(one) for one in messages):
        yield Mark("instructed")


def _said(message: Message) -> str:
    content = message.get("content")
    return content.strip() if isinstance(content, str) else ""


def _answer(messages: list[Message]) -> Iterator[Mark]:
    answer = _said(messages[-1]) if messages and messages[-1].get("role") == "assistant" else ""
    if not answer:
        return
    last = len(messages) - 1
    plain = normalise(answer)
    if plain in NO_ANSWER:
        yield Mark("blank_answer", last)
    elif plain in PERHAPS_NO_ANSWER:
        yield Mark("perhaps_blank", last)
    elif plain == normalise(last_said(messages, "user")):
        yield Mark("copied_answer", last)
    if end := refusal(answer):
        yield Mark("refusals", last, 0, end, "refusal")


def _stretches(messages: list[Message]) -> Iterator[Mark]:
    """Private data, secrets and broken characters, with their places."""
    for place, message in enumerate(messages):
        text = message["content"]
        for start, end, what in pii.secrets(text)[:MOST_SPANS]:
            yield Mark("secrets", place, start, end, what)
        for start, end, what in pii.personal(text)[:MOST_SPANS]:
            yield Mark("personal", place, start, end, what)
        for start, end in mojibake.broken(text)[:MOST_SPANS]:
            yield Mark("broken", place, start, end, "broken")
