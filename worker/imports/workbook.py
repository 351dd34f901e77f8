"""Reads a sheet of a workbook as a table: its header, and its rows."""

from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from finetune_app.imports.schemas import FileShape, ReadOptions
from worker.channel import UserError
from worker.imports import archives, sandbox
from worker.imports.header import (
    ABOVE,
    Record,
    column_names,
    filled_count,
    filled_width,
    numbered_columns,
    sheet_start,
)
from worker.imports.limits import MAX_COLUMNS
from worker.imports.progress import ByteMeter
from worker.imports.rows import AnyRow, RejectedRow, excerpt_of, row_of

SAMPLED_ROWS = 200  # that the width is determined from
BESIDE = "It has text to the right of the last column."


def sheet_shape(path: Path, kind: str, options: ReadOptions) -> FileShape:
    """The shape of the chosen sheet, else of the first one that looks like a table.

    Raises UserError for a workbook that is hostile, damaged or empty.
    """
    archives.refuse_hostile_workbook(path)
    if kind == "xlsx":
        archives.refuse_huge_sheets(path)
    names = sandbox.read_names("sheets", path)
    name, records = _choose_sheet(path, names, options.get("sheet", ""))
    starts, has_header = sheet_start(records, options.get("has_header"))
    width = max(filled_width(cells) for line, cells in records if line >= starts)
    if width > MAX_COLUMNS:
        raise UserError(
            "bad_data",
            f"The sheet has {width:,} columns; the most is {MAX_COLUMNS:,}. Keep those you need.",
        )
    first = next(cells for line, cells in records if line == starts)[:width]
    first += [""] * (width - len(first))
    return {
        "kind": kind,
        "format": "sheet",
        "encoding": "",
        "encoding_why": "",
        "sheets": names,
        "sheet": name,
        "has_header": has_header,
        "starts": starts,
        "columns": column_names(first if has_header else numbered_columns(width)),
    }


def _choose_sheet(path: Path, names: list[str], chosen: str) -> tuple[str, list[Record]]:
    """(name, first rows)"""
    if not names:
        raise UserError("bad_data", "The workbook has no sheet with rows.")
    wanted = [chosen] if chosen else names
    fallback: tuple[str, list[Record]] | None = None
    for name in wanted:
        sheet = sandbox.read_table("sheet", path, ByteMeter(), name)
        records = list(islice(sheet, SAMPLED_ROWS))
        if _is_table(records):
            return name, records
        if records and fallback is None:  # a sheet of notes often comes first
            fallback = name, records
    if fallback is None:
        raise UserError("bad_data", f"The sheet “{wanted[0]}” is empty. Choose another one.")
    return fallback


def _is_table(records: list[Record]) -> bool:
    """Whether at least two rows have several filled cells."""
    return sum(1 for _line, cells in records if filled_count(cells) > 1) > 1


def sheet_rows(path: Path, shape: FileShape, meter: ByteMeter) -> Iterator[AnyRow]:
    """Every row below the header. What stands above the table or beside it is rejected."""
    columns = shape["columns"]
    for line, cells in sandbox.read_table("sheet", path, meter, shape["sheet"]):
        excerpt = excerpt_of(cells)
        if line < shape["starts"]:
            yield RejectedRow(line, ABOVE, excerpt)
        elif line > shape["starts"] or not shape["has_header"]:
            if filled_width(cells) > len(columns):
                yield RejectedRow(line, BESIDE, excerpt)
            else:
                row = dict(zip(columns, cells, strict=False))
                yield row_of(line, row, row.values(), excerpt)
