"""A sheet of a workbook as a table: where its columns begin and how wide it is."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from worker.channel import UserError
from worker.imports import archives, delimited, sandbox
from worker.imports.limits import MAX_COLUMNS
from worker.imports.progress import ByteMeter
from worker.imports.rows import FileRow, RejectedRow

SEEN = 200  # rows from which the width is taken
BESIDE = "It has text to the right of the last column."


def shape(path: Path, kind: str, given: dict[str, Any]) -> dict[str, Any]:
    """The sheet's shape; what the person chose in `given` wins."""
    _refuse_hostile(path, kind)
    names = [str(name) for name in next(iter(sandbox.read_in_child("sheets", path)))]
    if not names:
        raise UserError("bad_data", "The workbook has no sheet with rows.")
    wanted = [given["sheet"]] if given.get("sheet") else names
    found: tuple[str, list[tuple[int, list[str]]]] | None = None
    for name in wanted:
        rows = list(islice(_cells(path, name, ByteMeter()), SEEN))
        if rows and found is None:
            found = name, rows
        if _is_table(rows):  # a sheet of notes often comes first
            found = name, rows
            break
    if found is None:
        raise UserError("bad_data", f"The sheet “{wanted[0]}” is empty. Choose another one.")
    name, rows = found
    start, header = _start(rows, given.get("has_header"))
    width = max(_width(cells) for line, cells in rows if line >= start)
    if width > MAX_COLUMNS:
        raise UserError(
            "bad_data",
            f"The sheet has {width:,} columns; the most is {MAX_COLUMNS:,}. Keep those you need.",
        )
    first = next(cells for line, cells in rows if line == start)[:width]
    first += [""] * (width - len(first))
    columns = first if header else [f"Column {n}" for n in range(1, width + 1)]
    return {
        "encoding": "",
        "encoding_why": "",
        "format": "sheet",
        "sheets": names,
        "sheet": name,
        "has_header": header,
        "starts": start,
        "columns": delimited.header_of(columns),
    }


def _is_table(rows: list[tuple[int, list[str]]]) -> bool:
    """Whether there are names or a row, and another row, with several cells each."""
    return sum(1 for _line, cells in rows if sum(1 for cell in cells if cell.strip()) > 1) > 1


def rows(path: Path, shape: dict[str, Any], meter: ByteMeter) -> Iterator[FileRow | RejectedRow]:
    columns = shape["columns"]
    for line, cells in _cells(path, shape["sheet"], meter):
        text = " | ".join(cells)[:500]
        if line < shape["starts"]:
            yield RejectedRow(line, delimited.ABOVE, text)
        elif line > shape["starts"] or not shape["has_header"]:
            if _width(cells) > len(columns):
                yield RejectedRow(line, BESIDE, text)
            else:
                yield delimited.checked(line, dict(zip(columns, cells, strict=False)), text)


def _cells(path: Path, name: str, meter: ByteMeter) -> Iterator[tuple[int, list[str]]]:
    """(line, cells) of the rows that are not empty."""
    size, done = path.stat().st_size, 0
    meter.watch(lambda: done, size)
    for told in sandbox.read_in_child("sheet", path, name):
        if isinstance(told, dict):
            done = size * int(told["done"]) // max(int(told["total"]), 1)
            continue
        for line, cells in told:
            yield int(line), cells


def _start(rows: list[tuple[int, list[str]]], given: bool | None) -> tuple[int, bool]:
    """(line, whether it holds names). Titles above a table fill one cell of several."""
    early = [(line, cells) for line, cells in rows if line <= rows[0][0] + delimited.TITLES]
    several = max(sum(1 for cell in cells if cell.strip()) for _line, cells in rows) > 1
    line, cells = next(
        (
            (line, cells)
            for line, cells in early
            if not several or sum(1 for cell in cells if cell.strip()) > 1
        ),
        rows[0],
    )
    header = delimited.is_header(_trimmed(cells)) if given is None else given
    return (line, True) if header else (rows[0][0], False)


def _trimmed(cells: list[str]) -> list[str]:
    return cells[: _width(cells)]


def _width(cells: list[str]) -> int:
    return max((place for place, cell in enumerate(cells, 1) if cell.strip()), default=0)


def _refuse_hostile(path: Path, kind: str) -> None:
    archives.refuse_hostile_workbook(path)
    if kind == "xlsx":
        archives.refuse_huge_sheets(path)
