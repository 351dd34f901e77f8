"""Reads CSV and similar tables. A malformed row never costs the rows after it."""

import csv
from collections import deque
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TextIO

from finetune_app.core.storable_text import LONE_SURROGATE
from finetune_app.imports.schemas import FileShape, ReadOptions
from worker.channel import UserError
from worker.imports.header import (
    ABOVE,
    HEADER_WITHIN_ROWS,
    Record,
    column_names,
    numbered_columns,
    table_start,
)
from worker.imports.limits import MAX_CELL_CHARACTERS
from worker.imports.rows import (
    MAX_EXCERPT_CHARACTERS,
    TOO_LONG,
    AnyRow,
    FileRow,
    Line,
    RejectedRow,
    excerpt_of,
    numbered_lines,
    row_of,
    text_problem,
)
from worker.imports.text_encoding import open_text

DELIMITERS = (",", ";", "\t", "|")
SNIFFED_CHARACTERS = 64_000
CLEVERCSV_CHARACTERS = 16_000
TSV_ENDINGS = (".tsv", ".tab")
UNCLOSED = (
    "A quotation mark opens here and is never closed, or only after more than "
    f"{MAX_CELL_CHARACTERS:,} characters."
)


# ---- The shape ----


def table_shape(
    path: Path, base: FileShape, sample: str, file_name: str, options: ReadOptions
) -> FileShape:
    """`base` with delimiter, header and columns. `options` take precedence over detection."""
    by_name = "\t" if file_name.lower().endswith(TSV_ENDINGS) else ""
    delimiter = options.get("delimiter") or by_name or detect_delimiter(sample)
    first = _first_records(path, base["encoding"], delimiter)
    starts, has_header = table_start(first, options.get("has_header"))
    cells = next(cells for line, cells in first if line == starts)
    return {
        **base,
        "kind": "csv",
        "delimiter": delimiter,
        "has_header": has_header,
        "starts": starts,
        "columns": column_names(cells if has_header else numbered_columns(len(cells))),
    }


def detect_delimiter(sample: str) -> str:
    """By csv.Sniffer, else clevercsv, else the most frequent one; a comma where there is none."""
    sample = sample[:SNIFFED_CHARACTERS].replace("\r\n", "\n").replace("\r", "\n")
    try:
        return csv.Sniffer().sniff(sample, "".join(DELIMITERS)).delimiter
    except csv.Error:
        pass
    lines = [line for line in sample.splitlines() if line.strip()][:HEADER_WITHIN_ROWS]
    first, *others = lines or [""]
    if not any(delimiter in first for delimiter in DELIMITERS):
        # One column, or a title above a table in which every line has the same delimiter.
        below = (d for d in DELIMITERS[1:] if others and all(d in line for line in others))
        return next(below, ",")
    import clevercsv  # takes as long to import as many a file to read

    try:
        clean = LONE_SURROGATE.sub("?", sample[:CLEVERCSV_CHARACTERS])
        found = clevercsv.Sniffer().sniff(clean, delimiters=list(DELIMITERS))
    except clevercsv.Error:
        found = None
    if found and found.delimiter in DELIMITERS:
        return str(found.delimiter)
    return max(DELIMITERS, key=first.count)


def _first_records(path: Path, encoding: str, delimiter: str) -> list[Record]:
    with open_text(path, encoding) as file:
        good = (one for one in records(file, delimiter) if not isinstance(one, RejectedRow))
        first = list(islice(good, HEADER_WITHIN_ROWS))
    if first:
        return [(line, [cell.lstrip("\ufeff") for cell in cells]) for line, cells in first]
    raise UserError(
        "bad_data",
        "No row of this file can be read as a table. Is the encoding right, and is it text?",
    )


# ---- The rows ----


def table_rows(file: TextIO, shape: FileShape) -> Iterator[AnyRow]:
    """Every row below the header. What stands above the table is rejected."""
    columns, delimiter = shape["columns"], shape["delimiter"]
    before_header = shape["has_header"]
    for record in records(file, delimiter):
        if isinstance(record, RejectedRow):
            yield record
        elif record[0] < shape.get("starts", 0):
            yield RejectedRow(record[0], ABOVE, excerpt_of([c for c in record[1] if c.strip()]))
        elif before_header:
            before_header = False
        else:
            line, cells = record
            if len(columns) == 1 < len(cells):  # one text per line, which contains the delimiter
                cells = [delimiter.join(cells)]
            yield _row(line, cells, columns)


def _row(line: int, cells: list[str], columns: list[str]) -> AnyRow:
    if len(cells) == len(columns):
        if not text_problem(cells):
            return FileRow(line, dict(zip(columns, cells, strict=True)))
        return row_of(line, {}, cells, excerpt_of(cells))
    excerpt = excerpt_of(cells)
    if len(cells) > len(columns) and any(cell.strip() for cell in cells[len(columns) :]):
        return RejectedRow(
            line,
            f"It has {len(cells)} cells, but the file has {len(columns)} columns. "
            "Text that contains the separator needs quotation marks around it.",
            excerpt,
        )
    if len(cells) < len(columns) and len(cells) < 2 <= len(columns):
        reason = f"It has {len(cells)} cell, but the file has {len(columns)} columns."
        return RejectedRow(line, reason, excerpt)
    row = dict(zip(columns, cells, strict=False))
    return row_of(line, row, row.values(), excerpt)


def records(file: TextIO, delimiter: str) -> Iterator[Record | RejectedRow]:
    """(line, cells) of every record, or why it cannot be read. Blank lines are skipped.

    Records are parsed strictly, because a quotation mark that is never closed would otherwise
    swallow the rows up to the next one. A line with quotation marks in odd places is then parsed
    leniently, by itself.
    """
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    feed = _LineFeed(numbered_lines(file))
    reader = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.taken = []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            first = feed.restart_after_first()
            reader = csv.reader(feed, delimiter=delimiter, strict=True)
            yield _parse_leniently(first, delimiter, str(error))
            continue
        first = feed.taken[0]
        if any(line.too_long for line in feed.taken):
            yield RejectedRow(first.number, TOO_LONG)
        elif any(cell.strip() for cell in cells):
            yield first.number, cells


def _parse_leniently(line: Line, delimiter: str, error: str) -> Record | RejectedRow:
    excerpt = line.text[:MAX_EXCERPT_CHARACTERS]
    if line.too_long or len(line.text) > MAX_CELL_CHARACTERS:
        return RejectedRow(line.number, TOO_LONG, excerpt)
    if line.text.count('"') % 2 or "field limit" in error:  # csv.Error has no code
        return RejectedRow(line.number, UNCLOSED, excerpt)
    try:
        return line.number, next(csv.reader([line.text], delimiter=delimiter))
    except csv.Error:
        return RejectedRow(line.number, f"Not readable: {error}.", excerpt)


class _LineFeed:
    """Feeds lines to csv.reader and remembers those of the current record, to read them again."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._again: deque[Line] = deque()
        self.taken: list[Line] = []

    def __iter__(self) -> "Iterator[str]":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.taken.append(line)
        return line.text

    def restart_after_first(self) -> Line:
        """Return the first line of the record; the others will be read again."""
        first, *rest = self.taken
        self._again.extendleft(reversed(rest))
        self.taken = []
        return first
