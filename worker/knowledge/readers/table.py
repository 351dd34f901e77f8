"""A table as text: each row a line that says what its cells are, so that it can stand alone."""

from pathlib import Path

from worker.channel import UserError
from worker.imports.file_format import detect_shape, iter_rows
from worker.imports.limits import MAX_ROWS
from worker.imports.rows import RejectedRow
from worker.knowledge.document_text import Text, Unreadable, Writer


def read(path: Path, name: str, encoding: str) -> Text:
    writer = Writer()
    try:
        shape = detect_shape(path, name, {"encoding": encoding})
        for number, row in enumerate(iter_rows(path, shape | {"format": shape["format"]})):
            if number > MAX_ROWS:
                raise Unreadable(f"This table has more than {MAX_ROWS:,} rows.")
            if isinstance(row, RejectedRow):
                continue  # a broken row is no reason to leave out the others
            cells = ((key, str(value or "").strip()) for key, value in row.cells.items())
            writer.paragraph("; ".join(f"{key}: {value}" for key, value in cells if value))
    except UserError as error:
        raise Unreadable("This cannot be read as a table. Save it as CSV again.") from error
    return writer.done()
