"""JSON lines, JSON lists, and an object with a list in it. Numbers keep their digits."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, TextIO

import orjson

from finetune_app.imports.column_mapping import EXACT_DECODER, RowError, cell_text, parse_json
from worker.imports.delimited import TOO_LONG, wrong_with
from worker.imports.limits import MAX_ROW
from worker.imports.rows import FileRow, RejectedRow, numbered_lines

BLOCK = 1 << 20
SPACE = re.compile(r"[\s,]*")
NOT_ROW = 'It is valid JSON, but not a row: a row has names and values, like {"prompt": …}.'
TOO_DEEP = "It is nested too deeply to read."


def json_line_rows(file: TextIO) -> Iterator[FileRow | RejectedRow]:
    """One JSON object a line."""
    for line in numbered_lines(file):
        if line.too_long:
            yield RejectedRow(line.number, TOO_LONG)
        elif line.text.strip():
            yield _parsed(line.number, line.text.strip())


def _parsed(number: int, text: str) -> FileRow | RejectedRow:
    try:
        value = orjson.loads(text)
        if isinstance(value, dict) and _without_numbers(value.values()):
            return as_row(number, value, text[:500])
    except ValueError:
        pass  # or what only the other parser takes, such as NaN
    try:
        value = parse_json(text)  # slower; numbers keep their digits
    except RecursionError:
        return RejectedRow(number, TOO_DEEP, text[:500])
    except ValueError as error:
        return RejectedRow(number, f"It is not valid JSON ({_plain(error)}).", text[:500])
    return as_row(number, value, text[:500])


def _without_numbers(values: Iterable[Any]) -> bool:
    for value in values:
        kind = type(value)
        if kind is str or value is None:
            continue
        if kind is list and _without_numbers(value):
            continue
        if kind is dict and _without_numbers(value.values()):
            continue
        return False
    return True


def as_row(number: int, value: Any, text: str) -> FileRow | RejectedRow:
    if not isinstance(value, dict):
        return RejectedRow(number, NOT_ROW, text)
    flat = {_name(name): cell for name, cell in value.items()}
    try:
        texts = [cell if isinstance(cell, str) else cell_text(cell) for cell in flat.values()]
    except RowError as error:
        return RejectedRow(number, str(error), text)
    wrong = wrong_with(texts)
    return RejectedRow(number, wrong, text.replace("\x00", "␀")) if wrong else FileRow(number, flat)


@lru_cache(maxsize=10_000)
def _name(name: str) -> str:
    return " ".join(name.split())[:80]


def json_list_rows(file: TextIO) -> Iterator[FileRow | RejectedRow]:
    """The objects of a JSON list, streamed. After a broken one the rest cannot be told apart."""
    text, at, line, ended, opened = "", 0, 1, False, False
    while True:
        at, line = _skip(text, at, line)
        if not opened and text[at : at + 1] == "[":
            at, opened = at + 1, True
            continue
        if at >= len(text) - 1 and not ended:
            piece = file.read(BLOCK)
            text, at, ended = text[at:] + piece, 0, not piece
            continue
        if at >= len(text) or text[at] == "]":
            if opened and at >= len(text):
                yield RejectedRow(line, "The file breaks off here. The rows before it were read.")
            return
        try:
            value, end = EXACT_DECODER.raw_decode(text, at)
        except RecursionError:
            yield RejectedRow(line, TOO_DEEP, text[at : at + 500])
            return
        except ValueError as error:
            if not ended and len(text) - at < MAX_ROW:
                piece = file.read(BLOCK)
                text, at, ended = text[at:] + piece, 0, not piece
                continue
            yield RejectedRow(
                line,
                f"From here on it is not valid JSON ({_plain(error)}). "
                "The rows before it were read.",
                text[at : at + 500],
            )
            return
        yield as_row(line, value, text[at : min(end, at + 500)])
        line += text.count("\n", at, end)
        at = end


def _skip(text: str, at: int, line: int) -> tuple[int, int]:
    """Past spaces and commas, with the number of the line that follows."""
    end = SPACE.match(text, at).end()  # type: ignore[union-attr]
    return end, line + text.count("\n", at, end)


def json_object_rows(text: str) -> list[FileRow | RejectedRow] | None:
    """The longest list of objects inside one JSON object; None when there is none."""
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    lists = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    messages = value.get("messages")
    texts = isinstance(messages, list) and any(isinstance(v, str) for v in messages[:1])
    if not lists or texts:
        return None
    if "role" in lists[0][0] or "from" in lists[0][0]:
        return [as_row(1, value, "")]  # one conversation
    longest = max(lists, key=lambda found: len(found))
    return [as_row(number, item, "") for number, item in enumerate(longest, 1)]


def _plain(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        words = {
            "Expecting value": "a value is missing",
            "Unterminated string starting at": "a quotation mark is missing",
            "Extra data": "something follows the closing bracket",
            "Expecting ',' delimiter": "a comma or a closing bracket is missing",
            "Expecting ':' delimiter": "a colon is missing",
            "Expecting property name enclosed in double quotes": "a name needs double quotes",
        }
        return f"{words.get(error.msg, error.msg)} at character {error.pos + 1:,}"
    return "it cannot be read"
