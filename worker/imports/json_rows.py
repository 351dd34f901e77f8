"""Reads JSON lines, lists of objects, and objects with a list. Numbers keep their digits."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from itertools import chain, islice
from pathlib import Path
from typing import Any, TextIO

import orjson

from finetune_app.imports.cell_values import EXACT_DECODER, RowError, cell_text, parse_json
from finetune_app.imports.column_inference import SPLIT_NAMES
from finetune_app.imports.column_mapping import split_of_word
from finetune_app.imports.conversation_cells import normalised_name
from worker.channel import UserError
from worker.imports.header import MAX_NAME_CHARACTERS
from worker.imports.limits import MAX_ROW_CHARACTERS
from worker.imports.progress import ByteMeter
from worker.imports.rows import (
    MAX_EXCERPT_CHARACTERS,
    TOO_LONG,
    AnyRow,
    RejectedRow,
    numbered_lines,
    row_of,
)
from worker.imports.text_encoding import open_text

BLOCK_CHARACTERS = 1 << 20
MAX_OBJECT_BYTES = 50_000_000  # of a file with one JSON object, which is read whole
MAX_LIST_NAME_CHARACTERS = 80
SPACE = re.compile(r"[\s,]*")
NOT_A_ROW = 'It is valid JSON, but not a row: a row has names and values, like {"prompt": …}.'
SAME_NAME = (
    f"Two of its names have the same first {MAX_NAME_CHARACTERS} characters, or differ only in "
    "their spaces. Rename one of them."
)
TOO_DEEP = "It is nested too deeply to read."
PLAIN_ERRORS = {  # by the message of json.JSONDecodeError, which has no code
    "Expecting value": "a value is missing",
    "Unterminated string starting at": "a quotation mark is missing",
    "Extra data": "something follows the closing bracket",
    "Expecting ',' delimiter": "a comma or a closing bracket is missing",
    "Expecting ':' delimiter": "a colon is missing",
    "Expecting property name enclosed in double quotes": "a name needs double quotes",
}


def json_line_rows(file: TextIO) -> Iterator[AnyRow]:
    """The rows of a file with one JSON object a line."""
    for line in numbered_lines(file):
        if line.too_long:
            yield RejectedRow(line.number, TOO_LONG)
        elif line.text.strip():
            yield _parse_line(line.number, line.text.strip())


def json_rows(path: Path, encoding: str, meter: ByteMeter) -> Iterator[AnyRow]:
    """The rows of a file with one JSON value: the objects of a list, of the lists in an object
    (see _rows_of_lists), or the object itself.

    Raises UserError for a large file that would have to be read whole.
    """
    with open_text(path, encoding) as file:
        start = file.read(1000).lstrip("\ufeff \t\r\n")
    size = path.stat().st_size
    meter.watch(lambda: 0, size)
    large = size > MAX_OBJECT_BYTES
    if start.startswith("{") and not large:
        with open_text(path, encoding) as file:
            found = _object_rows(file.read())
        if found is not None:
            yield from found
            return
    with open_text(path, encoding) as file:
        meter.watch(file.buffer.tell, size)
        rows = _list_rows(file)
        first = list(islice(rows, 2))
        if (
            large
            and start.startswith("{")
            and len(first) == 1
            and isinstance(first[0], RejectedRow)
        ):
            raise _too_large()  # only its size may be wrong
        yield from chain(first, rows)
        meter.freeze()


def json_row(line: int, value: Any, excerpt: str) -> AnyRow:
    """A JSON value as a row: an object whose cells can be stored as text."""
    if not isinstance(value, dict):
        return RejectedRow(line, NOT_A_ROW, excerpt)
    cells = {_column_name(name): cell for name, cell in value.items()}
    if len(cells) < len(value):
        return RejectedRow(line, SAME_NAME, excerpt)
    try:
        texts = [cell if isinstance(cell, str) else cell_text(cell) for cell in cells.values()]
    except RowError as error:
        return RejectedRow(line, str(error), excerpt)
    return row_of(line, cells, texts, excerpt)


@lru_cache(maxsize=10_000)
def _column_name(name: str) -> str:
    return " ".join(name.split())[:MAX_NAME_CHARACTERS]


def _parse_line(number: int, text: str) -> AnyRow:
    excerpt = text[:MAX_EXCERPT_CHARACTERS]
    try:
        value = orjson.loads(text)
        if isinstance(value, dict) and _without_numbers(value.values()):
            return json_row(number, value, excerpt)
    except ValueError:
        pass  # invalid, or accepted by the other parser only, such as NaN
    try:
        value = parse_json(text)  # slower, but numbers keep their digits
    except RecursionError:
        return RejectedRow(number, TOO_DEEP, excerpt)
    except ValueError as error:
        return RejectedRow(number, f"It is not valid JSON ({_explain(error)}).", excerpt)
    return json_row(number, value, excerpt)


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


def _list_rows(file: TextIO) -> Iterator[AnyRow]:
    """The objects of JSON lists, one list after the other as in files that were joined, streamed.
    After an invalid object the rest cannot be read."""
    text, at, line, ended, opened = "", 0, 1, False, False
    while True:
        at, line = _skip_space(text, at, line)
        if not opened and text[at : at + 1] == "[":
            at, opened = at + 1, True
            continue
        if at >= len(text) - 1 and not ended:
            block = file.read(BLOCK_CHARACTERS)
            text, at, ended = text[at:] + block, 0, not block
            continue
        if at >= len(text):
            if opened:
                yield RejectedRow(line, "The file breaks off here. The rows before it were read.")
            return
        if opened and text[at] == "]":
            at, opened = at + 1, False
            continue
        try:
            value, end = EXACT_DECODER.raw_decode(text, at)
        except RecursionError:
            yield RejectedRow(line, TOO_DEEP, text[at : at + MAX_EXCERPT_CHARACTERS])
            return
        except ValueError as error:
            if not ended and len(text) - at < MAX_ROW_CHARACTERS:
                block = file.read(BLOCK_CHARACTERS)
                text, at, ended = text[at:] + block, 0, not block
                continue
            yield RejectedRow(
                line,
                f"From here on it is not valid JSON ({_explain(error)}). "
                "The rows before it were read.",
                text[at : at + MAX_EXCERPT_CHARACTERS],
            )
            return
        yield json_row(line, value, text[at : min(end, at + MAX_EXCERPT_CHARACTERS)])
        line += text.count("\n", at, end)
        at = end


def _skip_space(text: str, at: int, line: int) -> tuple[int, int]:
    """(position, line number) after white space and commas."""
    match = SPACE.match(text, at)
    assert match  # the pattern matches the empty string
    return match.end(), line + text.count("\n", at, match.end())


def _object_rows(text: str) -> list[AnyRow] | None:
    """The rows of the lists of objects inside one JSON object; None when there is none."""
    try:
        value = parse_json(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict):
        return None
    lists = {
        name: found
        for name, found in value.items()
        if isinstance(found, list) and found and isinstance(found[0], dict)
    }
    messages = value.get("messages")
    has_texts = isinstance(messages, list) and any(isinstance(v, str) for v in messages[:1])
    if not lists or has_texts:
        return None
    first = next(iter(lists.values()))[0]
    if "role" in first or "from" in first:
        return [json_row(1, value, "")]  # one conversation
    return _rows_of_lists(lists)


def _rows_of_lists(lists: dict[str, list[Any]]) -> list[AnyRow]:
    """The rows of all lists where each is called by a split, else those of the longest. A list that
    is not read is rejected as one row, before the others, so that the page names it."""
    unread: dict[str, list[Any]] = {}
    if len(lists) > 1 and all(map(split_of_word, lists)):
        rows = [_with_split(row, name) for name, found in lists.items() for row in found]
    else:
        longest = max(lists, key=lambda name: len(lists[name]))
        rows = lists[longest]
        unread = {name: found for name, found in lists.items() if name != longest}
    rejected = [
        RejectedRow(number, _why_unread(name, len(found)))
        for number, (name, found) in enumerate(unread.items(), len(rows) + 1)
    ]
    return rejected + [json_row(number, row, "") for number, row in enumerate(rows, 1)]


def _with_split(row: Any, split: str) -> Any:
    """The row with the split that it names itself, whatever its column for that is called, else
    with this one. In one column, as a file has only one for splits."""
    if not isinstance(row, dict):
        return row
    values = {normalised_name(name): value for name, value in row.items()}
    own = (values.get(name) for name in SPLIT_NAMES)
    named = (word for word in own if isinstance(word, str) and split_of_word(word))
    others = {name: cell for name, cell in row.items() if normalised_name(name) != "split"}
    return {**others, "split": next(named, split)}


def _why_unread(name: str, rows: int) -> str:
    return (
        f"“{_column_name(name)[:MAX_LIST_NAME_CHARACTERS]}” holds {rows:,} "
        f"{'row that is' if rows == 1 else 'rows that are'} not read. Of several lists only the "
        "longest is, unless each is called by its split: train, validation or test. "
        "Save this list as a file of its own."
    )


def _explain(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{PLAIN_ERRORS.get(error.msg, error.msg)} at character {error.pos + 1:,}"
    return "it cannot be read"


def _too_large() -> UserError:
    return UserError(
        "bad_data",
        f"A JSON file larger than {MAX_OBJECT_BYTES // 10**6} MB can only be read when it is a "
        "list of rows. Save this one as JSON lines, or bring it in smaller parts.",
    )
