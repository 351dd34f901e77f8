"""Excel and OpenDocument sheets, as text: what a person sees in the cell."""

import datetime
from collections.abc import Iterator
from typing import Any

import python_calamine as calamine

from worker.imports.sandbox_child import batches

BROKEN = (
    "The workbook is damaged, or not what it says it is. Open it in a spreadsheet program, save "
    "it again, and bring that."
)
PASSWORD = "The workbook has a password. Save it without one."


class Refused(Exception):
    """The file cannot be read; the message says why."""


def sheets(path: str, _sheet: str) -> Iterator[Any]:
    """The names of the sheets with cells, those that are shown first."""
    with _opened(path) as book:
        found = [
            (meta.visible != calamine.SheetVisibleEnum.Visible, meta.name)
            for meta in book.sheets_metadata
            if meta.typ == calamine.SheetTypeEnum.WorkSheet
        ]
    yield [name for _hidden, name in sorted(found, key=lambda one: one[0])]


def sheet(path: str, name: str) -> Iterator[Any]:
    with _opened(path) as book:
        try:
            wanted = book.get_sheet_by_name(name)
        except calamine.WorksheetNotFound:
            raise Refused(f"There is no sheet “{name}” in the workbook.") from None
        except calamine.CalamineError as error:
            raise Refused(BROKEN) from error
        rows = (
            [line, [text_of(cell) for cell in row]]
            for line, row in enumerate(wanted.iter_rows(), 1)
            if any(cell != "" for cell in row)
        )
        for some in batches(rows):
            yield some
            yield {"done": some[-1][0], "total": wanted.total_height + 1}


def text_of(cell: Any) -> str:
    """Text as it stands; 712.0 as 712; dates as 2024-01-05, with a time where there is one."""
    if isinstance(cell, str):
        return cell
    if isinstance(cell, bool):
        return "TRUE" if cell else "FALSE"
    if isinstance(cell, float):
        return f"{cell:.15g}"  # as many digits as a spreadsheet keeps
    if isinstance(cell, datetime.datetime):
        return cell.isoformat(sep=" ", timespec="seconds")
    if isinstance(cell, datetime.timedelta):
        minutes, seconds = divmod(round(cell.total_seconds()), 60)
        return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"
    return str(cell)


def _opened(path: str) -> Any:
    try:
        return calamine.CalamineWorkbook.from_path(path)
    except calamine.PasswordError as error:
        raise Refused(PASSWORD) from error
    except (calamine.CalamineError, OSError) as error:
        raise Refused(BROKEN) from error
