"""Read a table: each row becomes a paragraph with its column names, so that it stands alone."""

from pathlib import Path

from worker.channel import UserError
from worker.imports.file_format import detect_shape, iter_rows
from worker.imports.limits import MAX_ROWS
from worker.imports.rows import RejectedRow
from worker.knowledge.document_text import DocumentText, TextBuilder, Unreadable


def read(path: Path, name: str, encoding: str) -> DocumentText:
    """Raises Unreadable for a file that is no table or has too many rows."""
    builder = TextBuilder()
    try:
        shape = detect_shape(path, name, {"encoding": encoding})
        for number, row in enumerate(iter_rows(path, shape)):
            if number > MAX_ROWS:
                raise Unreadable(f"This table has more than {MAX_ROWS:,} rows.")
            if isinstance(row, RejectedRow):
                continue
            cells = ((key, str(value or "").strip()) for key, value in row.cells.items())
            builder.paragraph("; ".join(f"{key}: {value}" for key, value in cells if value))
    except UserError as error:
        raise Unreadable("This cannot be read as a table. Save it as CSV again.") from error
    return builder.build()
