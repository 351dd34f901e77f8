"""Marking where an answer differs from the wanted one."""

from __future__ import annotations

import re
from itertools import groupby

from rapidfuzz.distance import LCSseq

from finetune_app.goals.measures.answer_fields import parse_key_lines

Marked = list[tuple[str, bool]]

# Above this many words, comparing line by line is enough, and quick.
MOST_PIECES = 4_000


def mark_differences(answer: str, wanted: str) -> Marked:
    """Return the answer in pieces, each with whether it differs from the wanted answer.

    The pieces joined give the answer back, character for character. In "key: value" lines a value
    is marked whole; elsewhere words are.
    """
    if not answer:
        return []
    got, target = parse_key_lines(answer), parse_key_lines(wanted)
    if got and target:
        return _joined(_mark_lines(answer, dict(target)))
    for pattern in (r"\w+|[^\w\s]|\s+", r"[^\n]+|\n+"):
        pieces, others = re.findall(pattern, answer), re.findall(pattern, wanted)
        if max(len(pieces), len(others)) <= MOST_PIECES:
            return _joined(_mark_pieces(pieces, others))
    return [(answer, answer != wanted)]


def _mark_lines(answer: str, wanted: dict[str, str]) -> Marked:
    marked: Marked = []
    for line in answer.splitlines(keepends=True):
        key, colon, value = line.partition(":")
        inner = value.strip()
        if not inner:
            marked.append((line, bool(key.strip()) and wanted.get(key.strip()) != ""))
            continue
        start = value.index(inner)
        end = start + len(inner)
        name = key.strip()
        marked += [
            (key + colon + value[:start], name not in wanted),
            (inner, wanted.get(name) != inner),
            (value[end:], False),
        ]
    return marked


def _mark_pieces(pieces: list[str], wanted: list[str]) -> Marked:
    """Mark what is not part of the longest common sequence of words."""
    words = [(at, piece) for at, piece in enumerate(pieces) if piece.strip()]
    targets = [piece for piece in wanted if piece.strip()]
    same: set[int] = set()
    for step in LCSseq.opcodes([word for _, word in words], targets):
        if step.tag == "equal":
            same.update(words[at][0] for at in range(step.src_start, step.src_end))
    marked = [(piece, at not in same and bool(piece.strip())) for at, piece in enumerate(pieces)]
    # Space between two marked words is marked too, so that a phrase reads as one mark.
    return [
        (
            piece,
            differs
            or (
                0 < at < len(marked) - 1
                and not piece.strip()
                and marked[at - 1][1]
                and marked[at + 1][1]
            ),
        )
        for at, (piece, differs) in enumerate(marked)
    ]


def _joined(marked: Marked) -> Marked:
    """Join neighbours with the same mark and drop empty pieces."""
    kept = [piece for piece in marked if piece[0]]
    return [
        ("".join(text for text, _ in run), differs)
        for differs, run in groupby(kept, key=lambda piece: piece[1])
    ]
