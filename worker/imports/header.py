"""Finds where a table begins and names its columns."""

from finetune_app.imports.column_inference import is_known_name
from worker.channel import UserError
from worker.imports.limits import MAX_COLUMNS

HEADER_WITHIN_ROWS = 20  # a later header is not found
ROWS_BELOW = 5  # compared with a possible header
MAX_NAME_CHARACTERS = 80
ABOVE = "It stands above the names of the columns."

Record = tuple[int, list[str]]  # line, cells


def column_names(cells: list[str]) -> list[str]:
    """Names for the columns: none empty, none twice. Raises UserError when there are too many."""
    if len(cells) > MAX_COLUMNS:
        raise UserError(
            "bad_data",
            f"The first row has {len(cells):,} columns; the most is {MAX_COLUMNS:,}. "
            "Is the character between the columns right? Keep the columns you need and try again.",
        )
    names: list[str] = []
    for number, cell in enumerate(cells, 1):
        name = " ".join(cell.split())[:MAX_NAME_CHARACTERS].strip() or f"Column {number}"
        base, count = name, 2
        while name in names:
            name = f"{base} ({count})"
            count += 1
        names.append(name)
    return names


def numbered_columns(count: int) -> list[str]:
    return [f"Column {n}" for n in range(1, count + 1)]


def is_header(cells: list[str]) -> bool:
    """Whether the cells of a first row look like names of columns."""
    if any(is_known_name(cell) for cell in cells):
        return True
    names = [cell.strip() for cell in cells]
    short = all(0 < len(cell) <= 30 and cell[-1] not in ".?!" for cell in names)
    return short and len(set(names)) == len(names) and not any(c.isdigit() for c in names)


def table_start(records: list[Record], has_header: bool | None) -> tuple[int, bool]:
    """(line, whether it is a header) where a table of text begins, from its first records.

    A title above the table fills one cell of several. Below a title, the first row with several
    filled cells is the header only if it has a known name, follows a blank line, or consists of
    names and no row below does. `has_header` is what a person chose.
    """
    wide = [at for at, (_line, cells) in enumerate(records) if filled_count(cells) > 1]
    first = wide[0] if wide else 0
    if first and has_header is not False:
        line, cells = records[first]
        after_blank_line = line > records[first - 1][0] + 1
        known = any(is_known_name(cell) for cell in cells)
        below = [row for _line, row in records[first + 1 : first + 1 + ROWS_BELOW]]
        if is_header(cells) and (after_blank_line or known or _only_names(cells, below)):
            return line, True
    line, cells = records[0]
    return line, is_header(cells) if has_header is None else has_header


def sheet_start(records: list[Record], has_header: bool | None) -> tuple[int, bool]:
    """The same for a sheet of a workbook, where titles are common: the first row with several
    filled cells is the header if it looks like one."""
    early = [(line, cells) for line, cells in records if line <= records[0][0] + HEADER_WITHIN_ROWS]
    several = max(filled_count(cells) for _line, cells in records) > 1
    wide = ((line, cells) for line, cells in early if not several or filled_count(cells) > 1)
    line, cells = next(wide, records[0])
    found = is_header(cells[: filled_width(cells)]) if has_header is None else has_header
    return (line, True) if found else (records[0][0], False)


def filled_count(cells: list[str]) -> int:
    return sum(1 for cell in cells if cell.strip())


def filled_width(cells: list[str]) -> int:
    """Number of cells up to the last one with text."""
    return max((number for number, cell in enumerate(cells, 1) if cell.strip()), default=0)


def _only_names(cells: list[str], below: list[list[str]]) -> bool:
    """Whether the cells are several names, and no row below could be a header."""
    complete = len(cells) > 2 and filled_count(cells) == len(cells)
    return complete and bool(below) and not any(map(is_header, below))
