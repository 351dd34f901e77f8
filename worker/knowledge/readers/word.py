"""Word documents (.docx): headings by their style, lists, tables row by row."""

import re
import zipfile
from pathlib import Path

from worker.knowledge.document_text import Text, Unreadable, Writer

MAX_MEMBERS = 5_000
MAX_UNPACKED = 1_000_000_000  # bytes of all members
MAX_RATIO = 100  # unpacked to packed, of the parts that are XML
SMALL = 1_000_000  # bytes a part may have whatever its ratio
HEADING = re.compile(r"heading\s*(\d)", re.I)
DAMAGED = (
    "Word would not open this file either: it is damaged or was cut off on its way. Save it "
    "again, and bring that."
)


def read(path: Path) -> Text:
    _require_honest(path)
    import docx
    from docx.table import Table

    try:
        document = docx.Document(str(path))
        writer = Writer()
        for part in document.iter_inner_content():
            if isinstance(part, Table):
                _table(writer, part)
            else:
                _paragraph(writer, part)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # python-docx and lxml fail in many ways on a hostile file
        raise Unreadable(DAMAGED) from error
    return writer.done()


def _require_honest(path: Path) -> None:
    """What it says it unpacks to, before anything is unpacked."""
    with zipfile.ZipFile(path) as packed:
        members = packed.infolist()
    whole = sum(member.file_size for member in members)
    bomb = any(
        member.file_size > SMALL and member.file_size > MAX_RATIO * max(member.compress_size, 1)
        for member in members
    )
    if len(members) > MAX_MEMBERS or whole > MAX_UNPACKED or bomb:
        raise Unreadable(
            "This file unpacks to far more than a document holds, so it was not opened. Copy its "
            "text into a new document, and bring that."
        )
    if any(member.flag_bits & 1 for member in members):
        raise Unreadable("This file has a password. Save a copy without it, and bring that.")


def _paragraph(writer: Writer, part) -> None:  # type: ignore[no-untyped-def]
    text = part.text
    style = (part.style.name or "") if part.style is not None else ""
    found = HEADING.match(style)
    if found or style == "Title":
        writer.heading(text, int(found[1]) if found else 1)
    elif style.startswith("List") and text.strip():
        writer.paragraph(f"- {text}")
    else:
        writer.paragraph(text)


def _table(writer: Writer, table) -> None:  # type: ignore[no-untyped-def]
    """Under a first row of column names every other row names its cells."""
    rows = [_cells(row) for row in table.rows]
    head = rows[0] if len(rows) > 1 and all(rows[0]) and len(set(rows[0])) > 1 else []
    for row in rows[1:] if head else rows:
        if head and len(row) == len(head):
            named = zip(head, row, strict=True)
            writer.paragraph("; ".join(f"{key}: {value}" for key, value in named if value))
        else:
            writer.paragraph(" | ".join(value for value in row if value))


def _cells(row) -> list[str]:  # type: ignore[no-untyped-def]
    """Merged cells are told once."""
    found: list[str] = []
    before = None
    for cell in row.cells:
        if cell._tc is not before:
            found.append(" ".join(cell.text.split()))
        before = cell._tc
    return found
