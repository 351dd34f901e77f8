"""CSV and its kin. One broken row never takes the rest with it."""

import csv
from collections import deque
from collections.abc import Collection, Iterator
from typing import TextIO

import clevercsv

from finetune_app.imports.column_inference import known_name
from worker.channel import UserError
from worker.imports.limits import MAX_CELL, MAX_COLUMNS
from worker.imports.rows import FileRow, Line, RejectedRow, numbered_lines
from worker.imports.text_encoding import LONE_SURROGATE

DELIMITERS = (",", ";", "\t", "|")
SNIFFED = 64_000  # characters
TITLES = 20  # rows in which the names of the columns begin at the latest
LOOKED_BELOW = 5  # rows that tell whether what stands above them is names
ABOVE = "It stands above the names of the columns."
UNCLOSED = (
    "A quotation mark opens here and is never closed, or only after more than "
    f"{MAX_CELL:,} characters."
)
TOO_LONG = f"A cell is longer than {MAX_CELL:,} characters."
ZERO = "It contains a zero byte, which is not text."
BROKEN = "It contains broken characters; the file's encoding may be another one."


def delimiter_of(sample: str) -> str:
    """The stdlib's sniffer first, clevercsv when it gives up, a comma in the end."""
    sample = sample[:SNIFFED].replace("\r\n", "\n").replace("\r", "\n")
    try:
        return csv.Sniffer().sniff(sample, "".join(DELIMITERS)).delimiter
    except csv.Error:
        pass
    first, *others = [line for line in sample.splitlines() if line.strip()][:TITLES] or [""]
    if not any(delimiter in first for delimiter in DELIMITERS):
        # One column; or a title, with a table below it whose every line is parted the same way.
        below = (d for d in DELIMITERS[1:] if others and all(d in line for line in others))
        return next(below, ",")
    try:
        clean = LONE_SURROGATE.sub("?", sample[:16_000])
        found = clevercsv.Sniffer().sniff(clean, delimiters=list(DELIMITERS))
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


def records(file: TextIO, delimiter: str) -> Iterator[tuple[int, list[str]] | RejectedRow]:
    """(line, cells) of every record, or what is wrong with it. Blank lines are left out.

    Read strictly, because a quotation mark that is never closed would else swallow the rows up
    to the next one. A line that only has marks in odd places is read leniently, by itself.
    """
    csv.field_size_limit(MAX_CELL)
    feed = _Feed(numbered_lines(file))
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.taken = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first = feed.again_after_first()
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            yield _leniently(first, delimiter, str(error))
            continue
        first = feed.taken[0]
        if first.too_long:
            yield RejectedRow(first.number, TOO_LONG)
        elif any(cell.strip() for cell in cells):
            yield first.number, cells


def _leniently(first: Line, delimiter: str, error: str) -> tuple[int, list[str]] | RejectedRow:
    if first.too_long or len(first.text) > MAX_CELL:
        return RejectedRow(first.number, TOO_LONG, first.text[:500])
    if first.text.count('"') % 2 or "field limit" in error:
        return RejectedRow(first.number, UNCLOSED, first.text[:500])
    try:
        return first.number, next(csv.reader([first.text], delimiter=delimiter))
    except csv.Error:
        return RejectedRow(first.number, f"Not readable: {error}.", first.text[:500])


def header_of(cells: list[str]) -> list[str]:
    """Column names: none empty, none twice."""
    if len(cells) > MAX_COLUMNS:
        raise UserError(
            "bad_data",
            f"The first row has {len(cells):,} columns; the most is {MAX_COLUMNS:,}. "
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


def start_of(first: list[tuple[int, list[str]]], given: bool | None) -> tuple[int, bool]:
    """(line, whether it holds names) where a table begins, from its first records. A title above it
    fills one cell of several; it is one only above names that we know, a blank line, or names that
    nothing below them could be."""
    full = [place for place, (_line, cells) in enumerate(first) if _filled(cells) > 1]
    place = full[0] if full else 0
    if place and given is not False:
        line, cells = first[place]
        apart = line > first[place - 1][0] + 1
        known = any(known_name(cell) for cell in cells)
        below = [row for _line, row in first[place + 1 : place + 1 + LOOKED_BELOW]]
        if is_header(cells) and (apart or known or _only_names(cells, below)):
            return line, True
    line, cells = first[0]
    return line, is_header(cells) if given is None else given


def _only_names(cells: list[str], below: list[list[str]]) -> bool:
    """Whether every one of several columns is named here, and no row below could be names."""
    whole = len(cells) > 2 and _filled(cells) == len(cells)
    return whole and bool(below) and not any(map(is_header, below))


def _filled(cells: list[str]) -> int:
    return sum(1 for cell in cells if cell.strip())


def delimited_rows(
    file: TextIO, delimiter: str, has_header: bool, columns: list[str], starts: int = 0
) -> Iterator[FileRow | RejectedRow]:
    """Every row below the header as {column: text}. What stands above line `starts` is listed."""
    waiting_for_header = has_header
    for record in records(file, delimiter):
        if isinstance(record, RejectedRow):
            yield record
        elif record[0] < starts:
            yield RejectedRow(record[0], ABOVE, " | ".join(filter(str.strip, record[1]))[:500])
        elif waiting_for_header:
            waiting_for_header = False
        else:
            line, cells = record
            if len(columns) == 1 < len(cells):  # one text a line, with commas in it
                cells = [delimiter.join(cells)]
            yield _row(line, cells, columns)


def _row(line: int, cells: list[str], columns: list[str]) -> FileRow | RejectedRow:
    if len(cells) == len(columns):
        wrong = wrong_with(cells)
        if not wrong:
            return FileRow(line, dict(zip(columns, cells, strict=True)))
        return RejectedRow(line, wrong, " | ".join(cells)[:500].replace("\x00", "␀"))
    text = " | ".join(cells)[:500]
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        return RejectedRow(
            line,
            f"It has {len(cells)} cells, but the file has {len(columns)} columns. "
            "Text that contains the separator needs quotation marks around it.",
            text,
        )
    if len(cells) < len(columns) and len(cells) < 2 <= len(columns):
        reason = f"It has {len(cells)} cell, but the file has {len(columns)} columns."
        return RejectedRow(line, reason, text)
    return checked(line, dict(zip(columns, cells, strict=False)), text)


def checked(line: int, cells: dict[str, str], text: str) -> FileRow | RejectedRow:
    """A row whose cells are text that can be kept."""
    wrong = wrong_with(cells.values())
    return RejectedRow(line, wrong, text.replace("\x00", "␀")) if wrong else FileRow(line, cells)


def wrong_with(texts: Collection[str]) -> str:
    """Why these texts cannot be kept, in a sentence; "" when they can. Looked at as one."""
    every = "".join(texts)
    if "\x00" in every:
        return ZERO
    try:
        every.encode()  # far quicker than looking for the marks of broken bytes
    except UnicodeEncodeError:
        return BROKEN
    if len(every) > MAX_CELL and any(len(text) > MAX_CELL for text in texts):
        return TOO_LONG
    return ""
