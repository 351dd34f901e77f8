"""In the sandbox: reads sheets of Excel and OpenDocument workbooks, as displayed text."""

import datetime
from collections.abc import Iterator
from typing import Any

import python_calamine as calamine

from worker.imports.child_output import UnreadableFile, batches

BROKEN = (
    "The workbook is damaged, or not what it says it is. Open it in a spreadsheet program, save "
    "it again, and bring that."
)
PASSWORD = "The workbook has a password. Save it without one."


def sheets(path: str, _sheet: str) -> Iterator[Any]:
    """The names of the worksheets, hidden ones last."""
    with _open(path) as book:
        found = [
            (meta.visible != calamine.SheetVisibleEnum.Visible, meta.name)
            for meta in book.sheets_metadata
            if meta.typ == calamine.SheetTypeEnum.WorkSheet
        ]
    yield [name for _hidden, name in sorted(found, key=lambda one: one[0])]


def sheet(path: str, name: str) -> Iterator[Any]:
    """Batches of [line, cells] of the rows that are not empty, and the progress in rows."""
    with _open(path) as book:
        try:
            wanted = book.get_sheet_by_name(name)
        except calamine.WorksheetNotFound:
            raise UnreadableFile(f"There is no sheet “{name}” in the workbook.") from None
        except calamine.CalamineError as error:
            raise UnreadableFile(BROKEN) from error
        rows = (
            [line, [cell_text(cell) for cell in row]]
            for line, row in enumerate(wanted.iter_rows(), 1)
            if any(cell != "" for cell in row)
        )
        for batch in batches(rows):
            yield batch
            yield {"done": batch[-1][0], "total": wanted.total_height + 1}


def cell_text(cell: Any) -> str:
    """Numbers without a needless “.0”, dates as 2024-01-05, with a time where there is one."""
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


def _open(path: str) -> Any:
    try:
        return calamine.CalamineWorkbook.from_path(path)
    except calamine.PasswordError as error:
        raise UnreadableFile(PASSWORD) from error
    except (calamine.CalamineError, OSError) as error:
        raise UnreadableFile(BROKEN) from error
