"""Word diff of two texts."""

import re
from dataclasses import dataclass
from itertools import groupby

from rapidfuzz.distance import Indel

MOST_WORDS = 6_000  # above this, compare lines
PIECES = re.compile(r"\w+|[^\w\s]|\s+")
LINES = re.compile(r"[^\n]+|\n+")


@dataclass(frozen=True)
class DiffPart:
    text: str
    kind: str  # same, added, gone


def diff_words(before: str, after: str) -> list[DiffPart]:
    """Pieces that are "same" or "added" form `after`; "same" or "gone" form `before`."""
    old, new = PIECES.findall(before), PIECES.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        old, new = LINES.findall(before), LINES.findall(after)
    pieces: list[DiffPart] = []
    for step in Indel.opcodes(old, new):
        if step.tag == "equal":
            pieces += [DiffPart(text, "same") for text in old[step.src_start : step.src_end]]
        else:
            pieces += [DiffPart(text, "gone") for text in old[step.src_start : step.src_end]]
            pieces += [DiffPart(text, "added") for text in new[step.dest_start : step.dest_end]]
    return _joined(_gathered(pieces))


def _gathered(pieces: list[DiffPart]) -> list[DiffPart]:
    """Merges changes that are separated only by whitespace, so that a replaced phrase reads as
    one change."""
    gathered: list[DiffPart] = []
    for is_change, run in groupby(_soft(pieces), key=lambda pair: pair[1]):
        some = [piece for piece, _change in run]
        kinds = {piece.kind for piece in some}
        if not is_change or not {"gone", "added"} <= kinds:
            gathered += some
            continue
        for kind in ("gone", "added"):
            gathered += [DiffPart(p.text, kind) for p in some if p.kind in (kind, "same")]
    return gathered


def _soft(pieces: list[DiffPart]) -> list[tuple[DiffPart, bool]]:
    """Each piece, and whether it belongs to a sequence of changes."""
    changed = [piece.kind != "same" for piece in pieces]
    return [
        (
            piece,
            changed[at]
            or (
                not piece.text.strip()
                and 0 < at < len(pieces) - 1
                and changed[at - 1]
                and changed[at + 1]
            ),
        )
        for at, piece in enumerate(pieces)
    ]


def _joined(pieces: list[DiffPart]) -> list[DiffPart]:
    return [
        DiffPart("".join(piece.text for piece in run), kind)
        for kind, run in groupby(pieces, key=lambda piece: piece.kind)
    ]
