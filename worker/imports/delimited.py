"""CSV and its kin. One broken row never takes the rest with it."""

import csv
from collections import deque
from collections.abc import Iterator
from typing import TextIO

import clevercsv

from finetune_app.datasets.guessing import known_name
from worker.channel import UserError
from worker.imports.decoding import LONE
from worker.imports.limits import MOST_CELL, MOST_COLUMNS
from worker.imports.lines import Bad, Line, Row, lines_of

DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 64_000  # characters
UNCLOSED = "A quotation mark opens here and is never closed."
TOO_LONG = f"A cell is longer than {MOST_CELL:,} characters."
ZERO = "It contains a zero byte, which is not text."
BROKEN = "It contains broken characters; the file's encoding may be another one."


def delimiter_of(sample: str) -> str:
    """The stdlib's sniffer first, clevercsv when it gives up, a comma in the end."""
    sample = sample[:SNIFFED].replace("\r\n", "\n").replace("\r", "\n")
    try:
        return csv.Sniffer().sniff(sample, "".join(DELIMITERS)).delimiter
    except csv.Error:
        pass
    first = sample.lstrip().splitlines()[0] if sample.strip() else ""
    if not any(delimiter in first for delimiter in DELIMITERS):
        return ","  # one column
    try:
        found = clevercsv.Sniffer().sniff(sample[:16_000], delimiters=list(DELIMITERS))
    except clevercsv.Error:
        found = None
    best = max(DELIMITERS, key=first.count)
    return found.delimiter if found and found.delimiter in DELIMITERS else best


class _Feed:
    """Lines for csv.reader, kept while their record is being read, so that it can go back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self.lines = lines
        self.waiting: deque[Line] = deque()
        self.taken: list[Line] = []
        self.ended = False

    def __iter__(self) -> "Iterator[str]":
        return self

    def __next__(self) -> str:
        line = self.waiting.popleft() if self.waiting else next(self.lines, None)
        if line is None:
            self.ended = True
            raise StopIteration
        self.taken.append(line)
        return line.text

    def again_after_first(self) -> Line:
        """Give back all lines of this record but the first, which is returned."""
        first, *rest = self.taken
        self.waiting.extendleft(reversed(rest))
        self.taken = []
        self.ended = False
        return first


def records(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]] | Bad]:
    """(line, cells) of every record, or what is wrong with it. Blank lines are left out."""
    csv.field_size_limit(MOST_CELL)
    feed = _Feed(lines_of(file))
    reader = csv.reader(feed, delimiter=delimiter)
    while True:
        feed.taken = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first = feed.again_after_first()
            reader = csv.reader(feed, delimiter=delimiter)
            yield Bad(first.number, _reason(first, str(error)), first.text[:500])
            continue
        first = feed.taken[0]
        if first.too_long:
            yield Bad(first.number, TOO_LONG)
        elif len(feed.taken) > 1 and not _well_quoted(feed.taken, delimiter):
            first = feed.again_after_first()
            reader = csv.reader(feed, delimiter=delimiter)
            yield Bad(first.number, UNCLOSED, first.text[:500])
        elif feed.ended and not _well_quoted(feed.taken, delimiter) and first.text.count('"') % 2:
            yield Bad(first.number, UNCLOSED, first.text[:500])
        elif any(cell.strip() for cell in cells):
            yield first.number, cells


def _reason(first: Line, error: str) -> str:
    if first.too_long or len(first.text) > MOST_CELL:
        return TOO_LONG
    return UNCLOSED if "field limit" in error or '"' in first.text else f"Not readable: {error}."


def _well_quoted(taken: list[Line], delimiter: str) -> bool:
    try:
        list(csv.reader((line.text for line in taken), delimiter=delimiter, strict=True))
    except csv.Error:
        return False
    return True


def header_of(cells: list[str]) -> list[str]:
    """Column names: none empty, none twice."""
    if len(cells) > MOST_COLUMNS:
        raise UserError(
            "bad_data",
            f"The first row has {len(cells):,} columns; the most is {MOST_COLUMNS:,}. "
            "Is the character between the columns right? Keep the columns you need and try again.",
        )
    names: list[str] = []
    for place, cell in enumerate(cells, 1):
        name = " ".join(cell.split())[:80].strip() or f"Column {place}"
        base, again = name, 2
        while name in names:
            name = f"{base} ({again})"
            again += 1
        names.append(name)
    return names


def is_header(cells: list[str]) -> bool:
    """Whether the cells of a first row look like names of columns."""
    if any(known_name(cell) for cell in cells):
        return True
    names = [cell.strip() for cell in cells]
    short = all(0 < len(cell) <= 30 and cell[-1] not in ".?!" for cell in names)
    return short and len(set(names)) == len(names) and not any(c.isdigit() for c in names)


def table_rows(
    file: TextIO, delimiter: str, has_header: bool, columns: list[str]
) -> Iterator[Row | Bad]:
    """Every row below the header as {column: text}."""
    waiting_for_header = has_header
    for record in records(file, delimiter):
        if isinstance(record, Bad):
            yield record
        elif waiting_for_header:
            waiting_for_header = False
        else:
            yield _row(*record, columns)


def _row(line: int, cells: list[str], columns: list[str]) -> Row | Bad:
    text = " | ".join(cells)[:500]
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns):]):
        return Bad(
            line,
            f"It has {len(cells)} cells, but the file has {len(columns)} columns. "
            "Text that contains the separator needs quotation marks around it.",
            text,
        )
    if len(cells) < len(columns) and len(cells) < 2 <= len(columns):
        reason = f"It has {len(cells)} cell, but the file has {len(columns)} columns."
        return Bad(line, reason, text)
    return checked(line, dict(zip(columns, cells, strict=False)), text)


def checked(line: int, cells: dict, text: str) -> Row | Bad:
    """A row whose cells are text that can be kept."""
    for value in cells.values():
        if isinstance(value, str):
            if "\x00" in value:
                return Bad(line, ZERO, text.replace("\x00", "␀"))
            if LONE.search(value):
                return Bad(line, BROKEN, text)
            if len(value) > MOST_CELL:
                return Bad(line, TOO_LONG, text)
    return Row(line, cells)
