"""A document's text as a page shows it: a part of it, with the place that was cited marked."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_app.core.files import local_folder
from finetune_app.knowledge.models import Document

AROUND = 12_000  # characters before and after the place that are shown at once


@dataclass(frozen=True)
class Piece:
    """A heading (`level` 2 to 4) or a paragraph (0), in parts of which some are marked; `page` is
    set where a new one begins, `first` where the marked place does."""

    level: int
    page: int
    parts: list[tuple[str, bool]]
    first: bool = False


@dataclass
class Extract:
    pieces: list[Piece] = field(default_factory=list)
    before: int | None = None  # where the part before this one begins; None at the beginning
    after: int | None = None
    marked: bool = False


def extract(document: Document, at: int | None, start: int | None = None) -> Extract | None:
    """What is around `at` (a passage, marked) or follows `start`; None while it is not read."""
    folder = local_folder(document.folder)
    read = _load(folder / "read.json")
    if read is None:
        return None
    text = (folder / "text.txt").read_text(encoding="utf-8")
    mark = _passage_at(folder, at) if at is not None else None
    low = max(0, mark[0] - AROUND) if mark else max(0, start or 0)
    high = (mark[1] if mark else low + AROUND) + AROUND
    chosen = [block for block in read["blocks"] if block[1] > low and block[0] < high]
    if not chosen:
        return Extract()
    first, last = chosen[0][0], chosen[-1][1]
    return Extract(
        pieces=_pieces(text, chosen, mark),
        before=max(0, first - 2 * AROUND) if first else None,
        after=last if last < len(text) else None,
        marked=mark is not None,
    )


def _passage_at(folder: Path, at: int) -> tuple[int, int] | None:
    """The passage that begins there, or the one that has this place in it."""
    found = _load(folder / "passages.json")
    places = [(one[0], one[1], one[2]) for one in found["passages"]] if found else []
    exact = [(low, high) for low, high, own in places if at in (low, own)]
    around = [(low, high) for low, high, _own in places if low <= at < high]
    return next(iter([*exact, *around]), None)


def _pieces(text: str, blocks: list[list[int]], mark: tuple[int, int] | None) -> list[Piece]:
    pieces: list[Piece] = []
    page, above, begun = 0, 1, False
    for at, end, level, on_page in blocks:
        parts = _parts(text, at, end, mark)
        first = not begun and any(marked for _part, marked in parts)
        begun = begun or first
        # A reader of headings must not miss a level, whatever the document left out.
        above = min(level + 1, above + 1, 4) if level else above
        new_page = on_page if on_page != page else 0
        pieces.append(Piece(above if level else 0, new_page, parts, first))
        page = on_page
    return pieces


def _parts(text: str, at: int, end: int, mark: tuple[int, int] | None) -> list[tuple[str, bool]]:
    if mark is None or mark[1] <= at or mark[0] >= end:
        return [(text[at:end], False)]
    low, high = max(at, mark[0]), min(end, mark[1])
    parts = [(text[at:low], False), (text[low:high], True), (text[high:end], False)]
    return [part for part in parts if part[0]]


def _load(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found
