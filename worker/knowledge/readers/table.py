"""Read a table: each row becomes a paragraph with its column names, so that it stands alone.

A row that does not fit the columns, or stands above them, becomes a paragraph as it is.
"""

from itertools import chain, pairwise
from pathlib import Path

from worker.channel import UserError
from worker.imports.file_format import detect_shape, iter_rows
from worker.imports.limits import MAX_ROWS
from worker.imports.rows import AnyRow, FileRow
from worker.imports.text_encoding import open_text
from worker.knowledge.document_text import DocumentText, TextBuilder, Unreadable


def read(path: Path, name: str, encoding: str) -> DocumentText:
    """Raises Unreadable for a file that is no table or has too many rows."""
    builder = TextBuilder()
    with open_text(path, encoding) as file:
        lines = file.readlines()
    try:
        shape = detect_shape(path, name, {"encoding": encoding})
        header = shape.get("starts", 0)
        if shape["format"] == "json":
            lines = []  # a row is not known by its lines
        last = FileRow(len(lines) + 1, {})
        for number, (row, following) in enumerate(pairwise(chain(iter_rows(path, shape), [last]))):
            if number > MAX_ROWS:
                raise Unreadable(f"This table has more than {MAX_ROWS:,} rows.")
            end = min(following.line, header) if row.line < header else following.line
            builder.paragraph(_text_of(row, lines[row.line - 1 : end - 1]))
    except UserError as error:
        raise Unreadable("This cannot be read as a table. Save it as CSV again.") from error
    return builder.build()


def _text_of(row: AnyRow, lines: list[str]) -> str:
    if not isinstance(row, FileRow):
        return "".join(lines) or row.text
    cells = ((key, str(value or "").strip()) for key, value in row.cells.items())
    return "; ".join(f"{key}: {value}" for key, value in cells if value)
