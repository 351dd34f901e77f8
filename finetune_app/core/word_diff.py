"""Word diff of two texts."""

import re
from dataclasses import dataclass
from itertools import groupby

from rapidfuzz.distance import Indel

MAX_WORDS = 6_000  # above this, lines are compared
WORDS = re.compile(r"\w+|[^\w\s]|\s+")
LINES = re.compile(r"[^\n]+|\n+")


@dataclass(frozen=True)
class DiffPart:
    text: str
    kind: str  # same, added, gone


def diff_words(before: str, after: str) -> list[DiffPart]:
    """The parts of both texts: "same" and "gone" form `before`, "same" and "added" form `after`."""
    old, new = WORDS.findall(before), WORDS.findall(after)
    if max(len(old), len(new)) > MAX_WORDS:
        old, new = LINES.findall(before), LINES.findall(after)
    pieces: list[DiffPart] = []
    for step in Indel.opcodes(old, new):
        if step.tag == "equal":
            pieces += [DiffPart(text, "same") for text in old[step.src_start : step.src_end]]
        else:
            pieces += [DiffPart(text, "gone") for text in old[step.src_start : step.src_end]]
            pieces += [DiffPart(text, "added") for text in new[step.dest_start : step.dest_end]]
    return _joined(_merged(pieces))


def _merged(pieces: list[DiffPart]) -> list[DiffPart]:
    """Merges changes that are separated only by whitespace, so that a replaced phrase reads as
    one change."""
    merged: list[DiffPart] = []
    for is_change, run in groupby(_marked_changes(pieces), key=lambda pair: pair[1]):
        some = [piece for piece, _change in run]
        kinds = {piece.kind for piece in some}
        if not is_change or not {"gone", "added"} <= kinds:
            merged += some
            continue
        for kind in ("gone", "added"):
            merged += [DiffPart(p.text, kind) for p in some if p.kind in (kind, "same")]
    return merged


def _marked_changes(pieces: list[DiffPart]) -> list[tuple[DiffPart, bool]]:
    """Each part, and whether it belongs to a sequence of changes."""
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
