"""Scans a single row for everything that can be detected in it. Pure functions.

Scans are cached with the `fingerprint` of the row, so an edit only costs a scan of the rows it
changed.
"""

import hashlib
import json
from collections.abc import Iterator

from finetune_app.checks.detectors import languages, mojibake, pii
from finetune_app.checks.detectors.placeholders import NO_ANSWER, PERHAPS_NO_ANSWER
from finetune_app.checks.row_texts import row_texts
from finetune_app.checks.rules.base import Mark, RowScan
from finetune_app.core.chat_messages import Message
from finetune_app.core.refusals import refusal_length
from finetune_app.datasets.text import last_content, normalise

# Increase when a rule below or in detectors/ changes: every row is then scanned again.
RULES = 6
ROLES = {"system", "user", "assistant", "tool"}
MAX_SPANS = 20  # highlighted in one row


def scan(messages: list[Message], rejected: str = "") -> RowScan:
    """Scan a conversation and its worse answer, without the toxicity and token counts of the
    thorough check. Of the worse answer only the text matters: it is not an answer to learn."""
    marks = [*_shape(messages), *_answer(messages)]
    if all(isinstance(message.get("content"), str) for message in messages):
        marks += _spans(row_texts(messages, rejected))
        return RowScan(tuple(marks), languages.detect_language(messages))
    return RowScan(tuple(marks))


def fingerprint(messages: list[Message], rejected: str = "") -> str:
    """32 hex digits that change with the texts and with the version of the rules."""
    scanned = [RULES, messages, *([rejected] if rejected else [])]
    text = json.dumps(scanned, ensure_ascii=False, sort_keys=True)
    return hashlib.md5(text.encode("utf-8", "replace"), usedforsecurity=False).hexdigest()


def _shape(messages: list[Message]) -> Iterator[Mark]:
    unknown = [one.get("role") for one in messages if one.get("role") not in ROLES]
    if unknown:
        yield Mark("unknown_role", what=str(unknown[0])[:40])
    if not messages or messages[-1].get("role") != "assistant" or not _answers(messages[-1]):
        yield Mark("no_answer")
    if not unknown and not any(one["role"] == "user" and _text(one) for one in messages):
        yield Mark("no_question")
    if any(one.get("role") == "system" and _text(one) for one in messages):
        yield Mark("instructed")


def _answers(message: Message) -> bool:
    return bool(message.get("tool_calls") or _text(message))


def _text(message: Message) -> str:
    content = message.get("content")
    return content.strip() if isinstance(content, str) else ""


def _answer(messages: list[Message]) -> Iterator[Mark]:
    answer = _text(messages[-1]) if messages and messages[-1].get("role") == "assistant" else ""
    if not answer:
        return
    last = len(messages) - 1
    plain = normalise(answer)
    if plain in NO_ANSWER:
        yield Mark("blank_answer", last)
    elif plain in PERHAPS_NO_ANSWER:
        yield Mark("perhaps_blank", last)
    elif plain == normalise(last_content(messages, "user")):
        yield Mark("copied_answer", last)
    if end := refusal_length(answer):
        yield Mark("refusals", last, 0, end, "refusal")


def _spans(texts: list[str]) -> Iterator[Mark]:
    """Personal data, secrets and broken characters, with their spans."""
    for place, text in enumerate(texts):
        for start, end, what in pii.secrets(text)[:MAX_SPANS]:
            yield Mark("secrets", place, start, end, what)
        for start, end, what in pii.personal(text)[:MAX_SPANS]:
            yield Mark("personal", place, start, end, what)
        for start, end in mojibake.broken_words(text)[:MAX_SPANS]:
            yield Mark("broken", place, start, end, "broken")
