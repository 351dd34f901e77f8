"""Read PDF page by page: headings by font size, without running headers and footers."""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

from worker.knowledge.document_text import DocumentText, TextBuilder, Unreadable

MAX_PAGES = 5_000
# Font sizes of headings of level 1, 2 and 3, relative to that of the text.
LEVEL_1_SIZE, LEVEL_2_SIZE, HEADING_SIZE = 1.6, 1.3, 1.15
MAX_HEADING_CHARACTERS = 100
RUNNING_LINE_SHARE = 0.5  # of the pages, on which a running header or footer is repeated
EDGE_LINES = 2  # at the top and bottom of a page, which may be running headers or footers
MIN_PAGES_FOR_RUNNING_LINES = 4
SHORT_LINE = 0.7  # of the longest line: a sentence that ends in it ends a paragraph
LIGATURES = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\u00ad": "", "\u00a0": " "}
)
SENTENCE_ENDS = (".", "!", "?", ":", ";", "…", "”", '"')
PAGE_NUMBER = re.compile(r"\W*+(?:page|seite|p\.)?\s*+\d++(?:\s*+(?:of|/|von)\s*+\d++)?\W*+", re.I)
DAMAGED = (
    "This PDF is damaged or was cut off on its way. Open it, print it to a new PDF, and bring that."
)
SCANNED = (
    "There is no text in this PDF, only pictures of pages: it was scanned. Run text recognition "
    "(OCR) over it first, then bring the result."
)
Line = tuple[str, float]  # text, largest font size


def read(path: Path) -> DocumentText:
    """Raises Unreadable for a PDF that is damaged, scanned, too long or has a password."""
    import pypdf

    logging.getLogger("pypdf").setLevel(logging.CRITICAL)  # its warnings quote the document
    try:
        reader = pypdf.PdfReader(str(path))
        if reader.is_encrypted and not reader.decrypt(""):
            raise Unreadable(
                "This PDF has a password. Save a copy without one (print it to a new PDF), and "
                "bring that."
            )
        count = len(reader.pages)
        if count > MAX_PAGES:
            raise Unreadable(f"This PDF has more than {MAX_PAGES:,} pages. Bring it in parts.")
        pages = [_lines(page) for page in reader.pages]
    except (Unreadable, MemoryError):
        raise
    except Exception as error:  # pypdf fails in many ways on a broken or hostile file
        raise Unreadable(DAMAGED) from error
    if not any(text for page in pages for text, _size in page):
        raise Unreadable(SCANNED if count else DAMAGED)
    return _build_text(pages)


def _lines(page: Any) -> list[Line]:
    """The lines of a page in reading order."""
    lines: list[Line] = []
    line, largest = "", 0.0

    def visit(text: str, _cm: Any, tm: Any, _font: Any, size: float) -> None:
        nonlocal line, largest
        for number, piece in enumerate(text.split("\n")):
            if number:
                lines.append((" ".join(line.split()), largest))
                line, largest = "", 0.0
            line += piece
            if piece.strip():
                largest = max(largest, abs(float(size or 0) * float(tm[3] or tm[0] or 1)))

    page.extract_text(visitor_text=visit)
    lines.append((" ".join(line.split()), largest))
    return [(text.translate(LIGATURES), size) for text, size in lines]


def _build_text(pages: list[list[Line]]) -> DocumentText:
    builder = TextBuilder()
    builder.pages = len(pages)
    body_size = _body_font_size(pages)
    running = _running_lines(pages, body_size)
    for number, page in enumerate(pages, start=1):
        lines = [
            (text, size)
            for text, size in page
            if _mask_numbers(text) not in running or size >= HEADING_SIZE * body_size
        ]
        for text, level in _paragraphs(_without_page_number(lines), body_size):
            if level:
                builder.heading(text, level, number)
            else:
                builder.paragraph(text, number)
    return builder.build()


def _body_font_size(pages: list[list[Line]]) -> float:
    """The font size of most characters."""
    characters: Counter[float] = Counter()
    for page in pages:
        for text, size in page:
            if size:
                characters[round(size, 1)] += len(text)
    return characters.most_common(1)[0][0] if characters else 0.0


def _running_lines(pages: list[list[Line]], body_size: float) -> set[str]:
    """Lines at the edge of most pages, with numbers masked; never headings."""
    if len(pages) < MIN_PAGES_FOR_RUNNING_LINES:
        return set()
    edges: Counter[str] = Counter()
    for page in pages:
        lines = [_mask_numbers(t) for t, size in page if t and size < HEADING_SIZE * body_size]
        edges.update({*lines[:EDGE_LINES], *lines[-EDGE_LINES:]})
    return {text for text, count in edges.items() if count > RUNNING_LINE_SHARE * len(pages)}


def _mask_numbers(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _without_page_number(lines: list[Line]) -> list[Line]:
    lines = [*lines]
    for end in (0, -1):
        if lines and PAGE_NUMBER.fullmatch(lines[end][0]):
            del lines[end]
    return lines


def _paragraphs(lines: list[Line], body_size: float) -> list[tuple[str, int]]:
    """Joins lines, also hyphenated words, to (text, heading level or 0). A paragraph ends at an
    empty line, a heading, or a sentence that ends in a short line."""
    found: list[tuple[str, int]] = []
    paragraph = ""
    line_width = max((len(text) for text, _size in lines), default=0)
    for text, size in lines:
        level = _heading_level(text, size, body_size)
        if not text or level:
            found.append((paragraph, 0))
            paragraph = ""
        if level:
            found.append((text, level))
            continue
        if _is_hyphenated(paragraph, text):
            paragraph = paragraph[:-1] + text
        else:
            paragraph = f"{paragraph} {text}".strip()
        if text.endswith(SENTENCE_ENDS) and len(text) < SHORT_LINE * line_width:
            found.append((paragraph, 0))
            paragraph = ""
    return [one for one in [*found, (paragraph, 0)] if one[0]]


def _is_hyphenated(before: str, after: str) -> bool:
    return bool(re.search(r"[^\W\d_]-$", before)) and after[:1].islower()


def _heading_level(text: str, size: float, body_size: float) -> int:
    """1 to 3; 0 if the line is no heading."""
    if not body_size or not text or len(text) > MAX_HEADING_CHARACTERS:
        return 0
    if size < HEADING_SIZE * body_size or text.endswith((".", ";", ",")):
        return 0
    return 1 if size >= LEVEL_1_SIZE * body_size else 2 if size >= LEVEL_2_SIZE * body_size else 3
