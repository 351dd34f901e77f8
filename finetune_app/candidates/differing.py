"""What changed between two versions: words added and taken out, shots likewise. Pure."""

import re
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from rapidfuzz.distance import Indel

MOST_WORDS = 6_000  # above this, line by line
PIECES = re.compile(r"\w+|[^\w\s]|\s+")
LINES = re.compile(r"[^\n]+|\n+")


@dataclass(frozen=True)
class Piece:
    text: str
    kind: str  # same, added, gone


@dataclass(frozen=True)
class Difference:
    words: list[Piece]
    shots_added: list[dict[str, str]] = field(default_factory=list)
    shots_gone: list[dict[str, str]] = field(default_factory=list)

    @property
    def added(self) -> int:
        return self._count("added")

    @property
    def gone(self) -> int:
        return self._count("gone")

    @property
    def is_none(self) -> bool:
        return not (self.added or self.gone or self.shots_added or self.shots_gone)

    def _count(self, kind: str) -> int:
        return sum(len(re.findall(r"\w+", piece.text)) or bool(piece.text.strip())
                   for piece in self.words if piece.kind == kind)


def difference(
    before: str, after: str,
    shots_before: list[dict[str, str]] | None = None,
    shots_after: list[dict[str, str]] | None = None,
) -> Difference:  # fmt: skip
    old, new = shots_before or [], shots_after or []
    return Difference(
        words_between(before, after),
        [shot for shot in new if shot not in old],
        [shot for shot in old if shot not in new],
    )


def words_between(before: str, after: str) -> list[Piece]:
    """The pieces that are the same or added give `after` back, the same or gone `before`."""
    old, new = PIECES.findall(before), PIECES.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        old, new = LINES.findall(before), LINES.findall(after)
    pieces: list[Piece] = []
    for step in Indel.opcodes(old, new):
        if step.tag == "equal":
            pieces += [Piece(text, "same") for text in old[step.src_start : step.src_end]]
        else:
            pieces += [Piece(text, "gone") for text in old[step.src_start : step.src_end]]
            pieces += [Piece(text, "added") for text in new[step.dest_start : step.dest_end]]
    return _joined(_gathered(pieces))


def _gathered(pieces: list[Piece]) -> list[Piece]:
    """Where words were put in place of others, the space between belongs to both: a phrase that
    took another's place reads as one change and not as many."""
    gathered: list[Piece] = []
    for is_change, run in groupby(_soft(pieces), key=lambda pair: pair[1]):
        some = [piece for piece, _change in run]
        kinds = {piece.kind for piece in some}
        if not is_change or not {"gone", "added"} <= kinds:
            gathered += some
            continue
        for kind in ("gone", "added"):
            gathered += [Piece(p.text, kind) for p in some if p.kind in (kind, "same")]
    return gathered


def _soft(pieces: list[Piece]) -> list[tuple[Piece, bool]]:
    """Each piece, and whether it belongs to a run of changes."""
    changed = [piece.kind != "same" for piece in pieces]
    return [
        (piece, changed[at] or (
            not piece.text.strip() and 0 < at < len(pieces) - 1
            and changed[at - 1] and changed[at + 1]
        ))
        for at, piece in enumerate(pieces)
    ]  # fmt: skip


def _joined(pieces: list[Piece]) -> list[Piece]:
    return [
        Piece("".join(piece.text for piece in run), kind)
        for kind, run in groupby(pieces, key=lambda piece: piece.kind)
    ]


def outcomes(before: list[Any], after: list[Any]) -> list[dict[str, Any]]:
    """The practice prompts on which two versions differ: {"practice", "before", "after"}. Only
    those that both were asked."""
    then = {one.practice.row: one for one in before if one.answer}
    return [
        {"practice": new.practice, "before": old.answer, "after": new.answer}
        for new in after
        if new.answer and (old := then.get(new.practice.row))
        and old.answer.passed != new.answer.passed
    ]
