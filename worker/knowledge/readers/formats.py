"""What kind of document is it? Its content decides; its name only helps where content is text."""

import re
import zipfile
from pathlib import Path

from worker.channel import UserError
from worker.imports.text_encoding import NOT_TEXT, detect_encoding, open_text
from worker.knowledge.document_text import Text, Unreadable, Writer

START = 4096
SAMPLE = 20_000  # characters
NO_TEXT = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
NOISE = 0.02  # of the characters: more of these are no text
IS_HTML = re.compile(r"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S)
MARKDOWN = (".md", ".markdown", ".mdown", ".mkd")
HTML = (".html", ".htm", ".xhtml")
TABLE = (".csv", ".tsv", ".tab")
TAKEN = "Bring PDF, Word (.docx), Markdown, HTML, plain text or CSV."
PACKED = (  # what a zip file holds, by the name of a member
    ("xl/workbook.xml", "an Excel workbook", "Save the sheet as CSV and bring that."),
    ("ppt/presentation.xml", "a PowerPoint file", "Export it as PDF and bring that."),
    ("META-INF/container.xml", "an e-book", "Save it as PDF or HTML and bring that."),
    ("content.xml", "an OpenDocument file", "Save it as Word (.docx) or PDF and bring that."),
)
OLD_WORD = (
    "This is an old Office file, or one with a password. Open it, and save it as Word (.docx) "
    "or PDF without a password."
)


def read(path: Path, name: str) -> Text:
    """Raise Unreadable with a sentence that says what to do."""
    with path.open("rb") as file:
        start = file.read(START)
    if not start.strip(b" \t\r\n\x00\xef\xbb\xbf"):
        raise Unreadable("This file is empty. Bring the one that holds the text.")
    text = _read(path, name.lower(), start)
    if not text.text:
        raise Unreadable("There is no text in this file.")
    return text


def _read(path: Path, name: str, start: bytes) -> Text:
    # Imported late: a reader of Markdown need not load the others.
    if b"%PDF-" in start[:1024]:
        from worker.knowledge.readers import pdf

        return pdf.read(path)
    if start.startswith(b"PK\x03\x04"):
        from worker.knowledge.readers import word

        _require_word(path)
        return word.read(path)
    _refuse_what_is_not_text(name, start)
    encoding = _encoding(path)
    with open_text(path, encoding) as file:
        content = file.read()
    if len(NO_TEXT.findall(content[:SAMPLE])) > NOISE * min(len(content), SAMPLE):
        raise Unreadable(f"This is not text that we can read. {TAKEN}")
    if name.endswith(TABLE):
        from worker.knowledge.readers import table

        return table.read(path, name, encoding)
    if name.endswith(HTML) or IS_HTML.match(content[:START].lstrip("\ufeff")):
        from worker.knowledge.readers import markup

        return markup.html(content)
    if name.endswith(MARKDOWN):
        from worker.knowledge.readers import markup

        return markup.markdown(content)
    return plain(content)


def _refuse_what_is_not_text(name: str, start: bytes) -> None:
    if start.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable(OLD_WORD)
    if start.startswith(b"{\\rtf"):
        raise Unreadable("This is an RTF file. Save it as Word (.docx) or PDF and bring that.")
    for magic, what, _then in NOT_TEXT:
        if start.startswith(magic):
            raise Unreadable(f"This is {what}, whatever its name says. {TAKEN}")
    if name.endswith((".pdf", ".docx")):
        kind = "a PDF" if name.endswith(".pdf") else "a Word document"
        raise Unreadable(
            f"Its name says {kind}, but its content is not one: it may be a saved web page, or "
            "damaged. Open it to see, and save it again."
        )


def _require_word(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as packed:
            names = set(packed.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable(
            "This file is damaged or was cut off on its way. Save it again, and bring that."
        ) from error
    if "word/document.xml" in names:
        return
    for member, what, then in PACKED:
        if member in names:
            raise Unreadable(f"This is {what}. {then}")
    raise Unreadable(f"This is a zip file. Unpack it, and bring what is inside. {TAKEN}")


def _encoding(path: Path) -> str:
    try:
        return detect_encoding(path)[0]
    except UserError as error:  # its words are about examples
        raise Unreadable(f"This is not text that we can read. {TAKEN}") from error


def plain(content: str) -> Text:
    """Paragraphs are what empty lines separate; a file without any has one a line."""
    writer = Writer()
    pieces = re.split(r"\n[^\S\n]*\n", content.replace("\r\n", "\n").replace("\r", "\n"))
    if len(pieces) == 1:
        pieces = pieces[0].split("\n")
    for piece in pieces:
        writer.paragraph(piece.lstrip("\ufeff"))
    return writer.done()
