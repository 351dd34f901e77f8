"""Marks where an answer differs from the wanted one."""

from __future__ import annotations

import re
from itertools import groupby

from rapidfuzz.distance import LCSseq

from finetune_app.goals.measures.answer_fields import parse_key_lines

MarkedParts = list[tuple[str, bool]]

MAX_WORDS = 4_000  # above, lines are compared instead of words, to stay quick


def mark_differences(answer: str, wanted: str) -> MarkedParts:
    """Split the answer into (text, whether it differs from the wanted answer) parts.

    The texts joined are the answer, character for character. In "key: value" lines a whole value
    is marked, elsewhere single words.
    """
    if not answer:
        return []
    got, target = parse_key_lines(answer), parse_key_lines(wanted)
    if got and target:
        return _merged(_mark_lines(answer, dict(target)))
    for pattern in (r"\w+|[^\w\s]|\s+", r"[^\n]+|\n+"):
        pieces, others = re.findall(pattern, answer), re.findall(pattern, wanted)
        if max(len(pieces), len(others)) <= MAX_WORDS:
            return _merged(_mark_words(pieces, others))
    return [(answer, answer != wanted)]


def _mark_lines(answer: str, wanted: dict[str, str]) -> MarkedParts:
    marked: MarkedParts = []
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


def _mark_words(pieces: list[str], wanted: list[str]) -> MarkedParts:
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


def _merged(marked: MarkedParts) -> MarkedParts:
    """Merge neighbours with the same mark and drop empty parts."""
    kept = [piece for piece in marked if piece[0]]
    return [
        ("".join(text for text, _ in run), differs)
        for differs, run in groupby(kept, key=lambda piece: piece[1])
    ]
