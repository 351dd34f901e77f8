"""Control pairs: a right and a wrong answer, to find out whether a judge can be trusted.

They are made from the test rows of the evaluation, the same ones each time. In each pair the
wanted answer is right. The wrong one is:

- `longer`, `shorter`: the wanted answer of another row, longer or not longer than the right one. A
  judge that goes by length fails one of the two kinds.
- `padded`: the right answer with polite filler around it, or said twice. It must not win.
- `base_style`, `ours_style`: an answer of that candidate that the measure marked wrong, or its
  answer to another prompt. A judge that likes how one of them writes fails.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from typing import Literal

from finetune_app.judging.job_messages import CONTROL_KINDS, ControlKind, Kind, Pair
from finetune_app.judging.limits import MAX_CONTROLS

POLITE = (
    "Thank you very much for your question! I am happy to help you with this.\n\n{answer}\n\n"
    "I hope that this is helpful. Please let me know if there is anything else I can do for you."
)
TWICE = "{answer}\n\n{answer}"
MAX_ROWS = 300  # that control pairs are made from, drawn at random


@dataclass(frozen=True)
class CandidateAnswer:
    """`passed`: by the measure; None where it grades, or where a person decides."""

    text: str
    passed: bool | None = None


@dataclass(frozen=True)
class TestRow:
    """A test prompt with the wanted answer and those of base and ours."""

    __test__ = False  # not a test class

    index: int
    prompt: str
    wanted: str
    base: CandidateAnswer
    ours: CandidateAnswer


def answer_pairs(rows: Iterable[TestRow]) -> list[Pair]:
    """Base against ours on each prompt. Answers that are the same are a tie without asking."""
    return [
        _pair("answers", row, row.base.text, row.ours.text)
        for row in rows
        if row.base.text.strip() != row.ours.text.strip()
    ]


def control_pairs(rows: Sequence[TestRow], seed: int) -> list[Pair]:
    """At most MAX_CONTROLS pairs of each kind; fewer where the rows do not allow more."""
    draw = random.Random(seed)
    shuffled = draw.sample(rows, min(len(rows), MAX_ROWS))
    found: dict[ControlKind, Iterator[Pair]] = {
        "longer": chain(_longer(shuffled, draw), _lengthened(shuffled, draw)),
        "shorter": _shorter(shuffled, draw),
        "padded": _padded(shuffled),
        "base_style": _styled(shuffled, draw, "base"),
        "ours_style": _styled(shuffled, draw, "ours"),
    }
    return [pair for kind in CONTROL_KINDS for pair in _first_of_each_prompt(found[kind])]


def _first_of_each_prompt(pairs: Iterable[Pair]) -> list[Pair]:
    return list(islice(_without_repeats(pairs), MAX_CONTROLS))


def _without_repeats(pairs: Iterable[Pair]) -> Iterator[Pair]:
    seen: set[int] = set()
    for pair in pairs:
        if pair["index"] not in seen:
            seen.add(pair["index"])
            yield pair


def _longer(rows: Sequence[TestRow], draw: random.Random) -> Iterator[Pair]:
    for row in rows:
        wrong = [text for text in _other_wanted(row, rows) if len(text) > len(row.wanted)]
        if wrong:
            yield _pair("longer", row, row.wanted, draw.choice(wrong))


def _lengthened(rows: Sequence[TestRow], draw: random.Random) -> Iterator[Pair]:
    """For rows whose wanted answer is among the longest: a wrong answer, repeated."""
    for row in rows:
        wrong = _other_wanted(row, rows)
        if wrong:
            text = draw.choice(wrong)
            times = len(row.wanted) // (len(text) + 1) + 2
            yield _pair("longer", row, row.wanted, "\n".join([text] * times))


def _shorter(rows: Sequence[TestRow], draw: random.Random) -> Iterator[Pair]:
    """Really shorter where there are such answers, else of the same length."""
    for most in (-1, 0):
        for row in rows:
            longest = len(row.wanted) + most
            wrong = [text for text in _other_wanted(row, rows) if len(text) <= longest]
            if wrong:
                yield _pair("shorter", row, row.wanted, draw.choice(wrong))


def _padded(rows: Sequence[TestRow]) -> Iterator[Pair]:
    for number, row in enumerate(rows):
        if row.wanted.strip():
            filler = TWICE if number % 2 else POLITE
            yield _pair("padded", row, row.wanted, filler.format(answer=row.wanted))


def _styled(
    rows: Sequence[TestRow], draw: random.Random, side: Literal["base", "ours"]
) -> Iterator[Pair]:
    """First its own wrong answers, then its answers to other prompts."""
    kind: ControlKind = "base_style" if side == "base" else "ours_style"
    for row in rows:
        own: CandidateAnswer = getattr(row, side)
        if own.passed is False and own.text.strip() and not _same(own.text, row.wanted):
            yield _pair(kind, row, row.wanted, own.text)
    for row in rows:
        wrong = [
            text for text in _answers_to_others(row, rows, side) if not _same(text, row.wanted)
        ]
        if wrong:
            yield _pair(kind, row, row.wanted, draw.choice(wrong))


def _answers_to_others(
    row: TestRow, rows: Sequence[TestRow], side: Literal["base", "ours"]
) -> list[str]:
    """What it answered, not wrongly, to prompts that want another answer."""
    found: list[CandidateAnswer] = [
        getattr(other, side) for other in rows if _wants_another(other, row)
    ]
    return [one.text for one in found if one.passed is not False and one.text.strip()]


def _other_wanted(row: TestRow, rows: Sequence[TestRow]) -> list[str]:
    """Wanted answers of other prompts, which are wrong here."""
    return [other.wanted for other in rows if _wants_another(other, row) and other.wanted.strip()]


def _wants_another(other: TestRow, row: TestRow) -> bool:
    return not _same(other.wanted, row.wanted) and not _same(other.prompt, row.prompt)


def _same(one: str, other: str) -> bool:
    return _plain(one) == _plain(other)


@lru_cache(maxsize=4 * MAX_ROWS)  # each is compared with all others
def _plain(text: str) -> str:
    return " ".join(text.casefold().split())


def _pair(kind: Kind, row: TestRow, first: str, second: str) -> Pair:
    return {
        "kind": kind,
        "index": row.index,
        "prompt": row.prompt,
        "first": first,
        "second": second,
    }
