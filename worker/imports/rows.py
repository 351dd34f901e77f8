"""Rows of a file, good and rejected, and its numbered lines."""

from collections.abc import Collection, Iterator
from typing import Any, NamedTuple, TextIO

from finetune_app.core.storable_text import storable
from finetune_app.imports.schemas import RejectedEntry
from worker.imports.limits import MAX_CELL_CHARACTERS, MAX_ROW_CHARACTERS

TOO_LONG = f"A cell is longer than {MAX_CELL_CHARACTERS:,} characters."
ZERO_BYTE = "It contains a zero byte, which is not text."
BROKEN = "It contains broken characters; the file's encoding may be another one."
MAX_EXCERPT_CHARACTERS = 500


class FileRow(NamedTuple):
    line: int
    cells: dict[str, Any]  # column -> text, or a JSON value


class RejectedRow(NamedTuple):
    """A row that could not be read."""

    line: int
    reason: str
    text: str = ""  # its beginning, for the download


AnyRow = FileRow | RejectedRow


def row_of(line: int, cells: dict[str, Any], texts: Collection[str], excerpt: str) -> AnyRow:
    """The row, rejected when one of its `texts` cannot be stored."""
    problem = text_problem(texts)
    return RejectedRow(line, problem, storable(excerpt)) if problem else FileRow(line, cells)


def text_problem(texts: Collection[str]) -> str:
    """Why these texts cannot be stored, in a sentence; "" when they can."""
    joined = "".join(texts)
    if "\x00" in joined:
        return ZERO_BYTE
    try:
        joined.encode()  # much faster than searching for the marks of broken bytes
    except UnicodeEncodeError:
        return BROKEN
    if len(joined) > MAX_CELL_CHARACTERS and any(len(t) > MAX_CELL_CHARACTERS for t in texts):
        return TOO_LONG
    return ""


def entry_of(row: RejectedRow) -> RejectedEntry:
    return {"line": row.line, "reason": storable(row.reason), "text": storable(row.text)}


def excerpt_of(cells: list[str]) -> str:
    return " | ".join(cells)[:MAX_EXCERPT_CHARACTERS]


# ---- Lines ----


class Line(NamedTuple):
    number: int  # counted from 1
    text: str  # with its line end; "" when the line was too long
    too_long: bool = False


def numbered_lines(file: TextIO) -> Iterator[Line]:
    """Every line. One that is too long is never in memory whole."""
    number = 0
    while part := file.readline(MAX_ROW_CHARACTERS):
        number += 1
        if len(part) < MAX_ROW_CHARACTERS or part.endswith(("\n", "\r")):
            yield Line(number, part)
            continue
        while (rest := file.readline(MAX_ROW_CHARACTERS)) and not rest.endswith(("\n", "\r")):
            pass
        yield Line(number, "", too_long=True)
