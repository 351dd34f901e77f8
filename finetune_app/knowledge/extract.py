"""A part of a document's text for its page, with the cited passage marked."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from finetune_app.core.files import local_folder
from finetune_app.knowledge.models import Document
from finetune_app.knowledge.schemas import PassagesFile, ReadFile

CONTEXT_CHARACTERS = 12_000  # shown before and after the passage


@dataclass(frozen=True)
class ExtractBlock:
    """A heading (`level` 2 to 4) or a paragraph (0), in parts of (text, is marked).

    page: set on the first block of a page.
    is_anchor: the marked passage starts here.
    """

    level: int
    page: int
    parts: list[tuple[str, bool]]
    is_anchor: bool = False


@dataclass
class Extract:
    """`before` and `after` are the offsets of the previous and the next part; None if there is
    none."""

    blocks: list[ExtractBlock] = field(default_factory=list)
    before: int | None = None
    after: int | None = None


def extract(document: Document, at: int | None, start: int | None = None) -> Extract | None:
    """The text around offset `at`, whose passage is marked, or from `start` on. None until the
    document was read."""
    folder = local_folder(document.folder)
    read: ReadFile | None = _load(folder / "read.json")
    if read is None:
        return None
    text = (folder / "text.txt").read_text(encoding="utf-8")
    mark = _passage_at(folder, at) if at is not None else None
    low = max(0, mark[0] - CONTEXT_CHARACTERS) if mark else max(0, start or 0)
    high = (mark[1] if mark else low + CONTEXT_CHARACTERS) + CONTEXT_CHARACTERS
    chosen = [block for block in read["blocks"] if block[1] > low and block[0] < high]
    if not chosen:
        return Extract()
    first, last = chosen[0][0], chosen[-1][1]
    return Extract(
        blocks=_blocks(text, chosen, mark),
        before=max(0, first - 2 * CONTEXT_CHARACTERS) if first else None,
        after=last if last < len(text) else None,
    )


def _passage_at(folder: Path, at: int) -> tuple[int, int] | None:
    """(start, end) of the passage that starts at this offset, or contains it."""
    saved: PassagesFile | None = _load(folder / "passages.json")
    spans = [(one[0], one[1], one[2]) for one in saved["passages"]] if saved else []
    exact = [(start, end) for start, end, new_start in spans if at in (start, new_start)]
    around = [(start, end) for start, end, _new_start in spans if start <= at < end]
    return next(iter([*exact, *around]), None)


def _blocks(
    text: str, blocks: list[tuple[int, int, int, int]], mark: tuple[int, int] | None
) -> list[ExtractBlock]:
    shown: list[ExtractBlock] = []
    page, heading_level, is_anchored = 0, 1, False
    for start, end, level, on_page in blocks:
        parts = _parts(text, start, end, mark)
        is_anchor = not is_anchored and any(marked for _part, marked in parts)
        is_anchored = is_anchored or is_anchor
        # Accessibility: no heading level may be skipped, even where the document skips one.
        heading_level = min(level + 1, heading_level + 1, 4) if level else heading_level
        new_page = on_page if on_page != page else 0
        shown.append(ExtractBlock(heading_level if level else 0, new_page, parts, is_anchor))
        page = on_page
    return shown


def _parts(text: str, start: int, end: int, mark: tuple[int, int] | None) -> list[tuple[str, bool]]:
    if mark is None or mark[1] <= start or mark[0] >= end:
        return [(text[start:end], False)]
    low, high = max(start, mark[0]), min(end, mark[1])
    parts = [(text[start:low], False), (text[low:high], True), (text[high:end], False)]
    return [part for part in parts if part[0]]


def _load(path: Path) -> Any:
    """The content of a JSON file, None if there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
