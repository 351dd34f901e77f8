"""Detect the format of a document by its content, or by its name if it is text, and read it."""

import re
import zipfile
from pathlib import Path

from worker.channel import UserError
from worker.imports.text_encoding import NOT_TEXT, detect_encoding, open_text
from worker.knowledge.document_text import DocumentText, TextBuilder, Unreadable

HEAD_BYTES = 4096
SAMPLE_CHARACTERS = 20_000
NON_TEXT_CHARACTER = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ufffd\ud800-\udfff]")
MAX_NON_TEXT_SHARE = 0.02  # of the sample
IS_HTML = re.compile(
    r"\s*+(?:<!--(?>.*?-->)\s*+)*+<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
MARKDOWN_SUFFIXES = (".md", ".markdown", ".mdown", ".mkd")
HTML_SUFFIXES = (".html", ".htm", ".xhtml")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab")
SUPPORTED = "Bring PDF, Word (.docx), Markdown, HTML, plain text or CSV."
ZIP_FORMATS = (  # member of the zip file, name of the format, what to do
    ("xl/workbook.xml", "an Excel workbook", "Save the sheet as CSV and bring that."),
    ("ppt/presentation.xml", "a PowerPoint file", "Export it as PDF and bring that."),
    ("META-INF/container.xml", "an e-book", "Save it as PDF or HTML and bring that."),
    ("content.xml", "an OpenDocument file", "Save it as Word (.docx) or PDF and bring that."),
)
OLD_WORD = (
    "This is an old Office file, or one with a password. Open it, and save it as Word (.docx) "
    "or PDF without a password."
)


def read(path: Path, name: str) -> DocumentText:
    """Raises Unreadable with a message that says what to do."""
    with path.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if not head.strip(b" \t\r\n\x00\xef\xbb\xbf"):
        raise Unreadable("This file is empty. Bring the one that holds the text.")
    text = _read(path, name.lower(), head)
    if not text.text:
        raise Unreadable("There is no text in this file.")
    return text


def _read(path: Path, name: str, head: bytes) -> DocumentText:
    # Each reader is imported when needed, because its libraries are slow to load.
    if b"%PDF-" in head[:1024]:
        from worker.knowledge.readers import pdf

        return pdf.read(path)
    if head.startswith(b"PK\x03\x04"):
        from worker.knowledge.readers import word

        _require_word(path)
        return word.read(path)
    _reject_binary(name, head)
    encoding = _encoding(path)
    with open_text(path, encoding) as file:
        content = file.read()
    sample = content[:SAMPLE_CHARACTERS]
    if len(NON_TEXT_CHARACTER.findall(sample)) > MAX_NON_TEXT_SHARE * len(sample):
        raise Unreadable(f"This is not text that we can read. {SUPPORTED}")
    if name.endswith(TABLE_SUFFIXES):
        from worker.knowledge.readers import table

        return table.read(path, name, encoding)
    if name.endswith(HTML_SUFFIXES) or IS_HTML.match(content[:HEAD_BYTES].lstrip("\ufeff")):
        from worker.knowledge.readers import markup

        return markup.html(content)
    if name.endswith(MARKDOWN_SUFFIXES):
        from worker.knowledge.readers import markup

        return markup.markdown(content)
    return plain(content)


def _reject_binary(name: str, head: bytes) -> None:
    if head.startswith(b"\xd0\xcf\x11\xe0"):
        raise Unreadable(OLD_WORD)
    if head.startswith(b"{\\rtf"):
        raise Unreadable("This is an RTF file. Save it as Word (.docx) or PDF and bring that.")
    for magic, what, _advice in NOT_TEXT:
        if head.startswith(magic):
            raise Unreadable(f"This is {what}, whatever its name says. {SUPPORTED}")
    if name.endswith((".pdf", ".docx")):
        kind = "a PDF" if name.endswith(".pdf") else "a Word document"
        raise Unreadable(
            f"Its name says {kind}, but its content is not one: it may be a saved web page, or "
            "damaged. Open it to see, and save it again."
        )


def _require_word(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError) as error:
        raise Unreadable(
            "This file is damaged or was cut off on its way. Save it again, and bring that."
        ) from error
    if "word/document.xml" in names:
        return
    for member, what, advice in ZIP_FORMATS:
        if member in names:
            raise Unreadable(f"This is {what}. {advice}")
    raise Unreadable(f"This is a zip file. Unpack it, and bring what is inside. {SUPPORTED}")


def _encoding(path: Path) -> str:
    try:
        return detect_encoding(path)[0]
    except UserError as error:  # its message is about files of examples
        raise Unreadable(f"This is not text that we can read. {SUPPORTED}") from error


def plain(content: str) -> DocumentText:
    """Paragraphs are separated by empty lines; without any, each line is a paragraph."""
    builder = TextBuilder()
    paragraphs = re.split(r"\n[^\S\n]*\n", content.replace("\r\n", "\n").replace("\r", "\n"))
    if len(paragraphs) == 1:
        paragraphs = paragraphs[0].split("\n")
    for paragraph in paragraphs:
        builder.paragraph(paragraph.lstrip("\ufeff"))
    return builder.build()
