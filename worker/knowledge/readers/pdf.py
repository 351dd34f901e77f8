"""PDF: page by page, headings by the size of their letters, running heads left out."""

import logging
import re
from collections import Counter
from pathlib import Path
from typing import Any

from worker.knowledge.document_text import Text, Unreadable, Writer

MAX_PAGES = 5_000
LARGER = 1.15  # a heading's letters, against those of the text
LONGEST_HEADING = 100  # characters
RUNNING = 0.5  # of the pages: what stands at the edge of so many of them is no text
EDGE = 2  # lines
FEW_PAGES = 4  # on fewer, nothing can be said to repeat
WHOLE_LETTERS = str.maketrans(
    {"ﬀ": "ff", "ﬁ": "fi", "ﬂ": "fl", "ﬃ": "ffi", "ﬄ": "ffl", "\u00ad": "", "\u00a0": " "}
)
ENDS = (".", "!", "?", ":", ";", "…", "”", '"')
PAGE_NUMBER = re.compile(r"\W*(?:page|seite|p\.)?\s*\d+(?:\s*(?:of|/|von)\s*\d+)?\W*", re.I)
DAMAGED = (
    "This PDF is damaged or was cut off on its way. Open it, print it to a new PDF, and bring that."
)
SCANNED = (
    "There is no text in this PDF, only pictures of pages: it was scanned. Run text recognition "
    "(OCR) over it first, then bring the result."
)
Line = tuple[str, float]  # with the size of its letters


def read(path: Path) -> Text:
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
    return _put_together(pages)


def _lines(page: Any) -> list[Line]:
    """The lines of a page in reading order, each with the size of its largest letters."""
    found: list[Line] = []
    line, largest = "", 0.0

    def note(text: str, cm: Any, tm: Any, _font: Any, size: float) -> None:
        nonlocal line, largest
        for number, piece in enumerate(text.split("\n")):
            if number:
                found.append((" ".join(line.split()), largest))
                line, largest = "", 0.0
            line += piece
            if piece.strip():
                largest = max(largest, abs(float(size or 0) * float(tm[3] or tm[0] or 1)))

    page.extract_text(visitor_text=note)
    found.append((" ".join(line.split()), largest))
    return [(text.translate(WHOLE_LETTERS), size) for text, size in found]


def _put_together(pages: list[list[Line]]) -> Text:
    writer = Writer()
    writer.pages = len(pages)
    usual = _usual_size(pages)
    running = _running(pages, usual)
    for number, lines in enumerate(pages, start=1):
        kept = [one for one in lines if _blind(one[0]) not in running or one[1] >= LARGER * usual]
        for text, level in _paragraphs(_without_number(kept), usual):
            if level:
                writer.heading(text, level, number)
            else:
                writer.paragraph(text, number)
    return writer.done()


def _usual_size(pages: list[list[Line]]) -> float:
    """That of most letters."""
    letters: Counter[float] = Counter()
    for page in pages:
        for text, size in page:
            if size:
                letters[round(size, 1)] += len(text)
    return letters.most_common(1)[0][0] if letters else 0.0


def _running(pages: list[list[Line]], usual: float) -> set[str]:
    """Heads and feet that most pages share, whatever numbers are in them; never a heading."""
    if len(pages) < FEW_PAGES:
        return set()
    edges: Counter[str] = Counter()
    for page in pages:
        lines = [_blind(text) for text, size in page if text and size < LARGER * usual]
        edges.update({*lines[:EDGE], *lines[-EDGE:]})
    return {text for text, times in edges.items() if times > RUNNING * len(pages)}


def _blind(text: str) -> str:
    return re.sub(r"\d+", "#", text)


def _without_number(lines: list[Line]) -> list[Line]:
    """Without the number of the page, at its foot or head."""
    lines = [*lines]
    for end in (0, -1):
        if lines and PAGE_NUMBER.fullmatch(lines[end][0]):
            del lines[end]
    return lines


def _paragraphs(lines: list[Line], usual: float) -> list[tuple[str, int]]:
    """Lines flow together until one is empty, a heading, or ends a sentence well before the
    margin; a word that was divided at a line's end is whole again."""
    found: list[tuple[str, int]] = []
    flow = ""
    margin = max((len(text) for text, _size in lines), default=0)
    for text, size in lines:
        level = _level(text, size, usual)
        if not text or level:
            found.append((flow, 0))
            flow = ""
        if level:
            found.append((text, level))
            continue
        joined = flow[:-1] + text if _divided(flow, text) else f"{flow} {text}".strip()
        flow = joined
        if text.endswith(ENDS) and len(text) < 0.7 * margin:
            found.append((flow, 0))
            flow = ""
    return [piece for piece in [*found, (flow, 0)] if piece[0]]


def _divided(flow: str, text: str) -> bool:
    return bool(re.search(r"[^\W\d_]-$", flow)) and text[:1].islower()


def _level(text: str, size: float, usual: float) -> int:
    if not usual or not text or size < LARGER * usual or len(text) > LONGEST_HEADING:
        return 0
    if text.endswith((".", ";", ",")):
        return 0
    return 1 if size >= 1.6 * usual else 2 if size >= 1.3 * usual else 3
