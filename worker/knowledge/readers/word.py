"""Read Word documents (.docx): headings by their style, lists, tables row by row."""

import re
import zipfile
from pathlib import Path

from worker.knowledge.document_text import DocumentText, TextBuilder, Unreadable

MAX_MEMBERS = 5_000
MAX_UNPACKED_BYTES = 1_000_000_000  # of all members
MAX_COMPRESSION_RATIO = 100  # of a member larger than SMALL_MEMBER_BYTES
SMALL_MEMBER_BYTES = 1_000_000
HEADING = re.compile(r"heading\s*(\d)", re.I)
DAMAGED = (
    "Word would not open this file either: it is damaged or was cut off on its way. Save it "
    "again, and bring that."
)


def read(path: Path) -> DocumentText:
    """Raises Unreadable for a file that is damaged, a zip bomb, or has a password."""
    _reject_zip_bomb(path)
    import docx
    from docx.table import Table

    try:
        document = docx.Document(str(path))
        builder = TextBuilder()
        for part in document.iter_inner_content():
            if isinstance(part, Table):
                _add_table(builder, part)
            else:
                _add_paragraph(builder, part)
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # python-docx and lxml fail in many ways on a hostile file
        raise Unreadable(DAMAGED) from error
    return builder.build()


def _reject_zip_bomb(path: Path) -> None:
    """Checks the sizes in the zip directory before anything is unpacked."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    unpacked = sum(member.file_size for member in members)
    bomb = any(
        member.file_size > SMALL_MEMBER_BYTES
        and member.file_size > MAX_COMPRESSION_RATIO * max(member.compress_size, 1)
        for member in members
    )
    if len(members) > MAX_MEMBERS or unpacked > MAX_UNPACKED_BYTES or bomb:
        raise Unreadable(
            "This file unpacks to far more than a document holds, so it was not opened. Copy its "
            "text into a new document, and bring that."
        )
    if any(member.flag_bits & 1 for member in members):
        raise Unreadable("This file has a password. Save a copy without it, and bring that.")


def _add_paragraph(builder: TextBuilder, part) -> None:  # type: ignore[no-untyped-def]
    text = part.text
    style = (part.style.name or "") if part.style is not None else ""
    heading = HEADING.match(style)
    if heading or style == "Title":
        builder.heading(text, int(heading[1]) if heading else 1)
    elif style.startswith("List") and text.strip():
        builder.paragraph(f"- {text}")
    else:
        builder.paragraph(text)


def _add_table(builder: TextBuilder, table) -> None:  # type: ignore[no-untyped-def]
    """If the first row holds column names, each other row becomes "column: value" pairs."""
    rows = [_cells(row) for row in table.rows]
    header = rows[0] if len(rows) > 1 and all(rows[0]) and len(set(rows[0])) > 1 else []
    for row in rows[1:] if header else rows:
        if header and len(row) == len(header):
            named = zip(header, row, strict=True)
            builder.paragraph("; ".join(f"{key}: {value}" for key, value in named if value))
        else:
            builder.paragraph(" | ".join(value for value in row if value))


def _cells(row) -> list[str]:  # type: ignore[no-untyped-def]
    """Text of each cell; merged cells count once."""
    found: list[str] = []
    before = None
    for cell in row.cells:
        if cell._tc is not before:
            found.append(" ".join(cell.text.split()))
        before = cell._tc
    return found
