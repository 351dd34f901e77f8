"""Compares answers field by field: precision, recall and F1.

F1 is the harmonic mean of both (van Rijsbergen 1979); added up over fields or answers before the
division, it is micro-averaged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

ALMOST = 0.95  # the value of an answer whose fields are all right, but which as a whole is not


class Field(NamedTuple):
    """One field of an answer: its name as a path ("order.items"), its place where a list has
    several of that name, and its value as text."""

    name: str
    place: str
    value: str


Fields = Counter[Field]


class FieldPair(NamedTuple):
    """The fields of an answer, and of the wanted one."""

    got: Fields
    wanted: Fields


@dataclass(frozen=True)
class FieldScore:
    """Counts of fields: right ones, those that were given, those that were wanted."""

    right: int = 0
    given: int = 0
    wanted: int = 0

    def __add__(self, other: FieldScore) -> FieldScore:
        return FieldScore(
            self.right + other.right, self.given + other.given, self.wanted + other.wanted
        )

    @property
    def precision(self) -> float:
        """The share of what was given that is right; 0 where nothing was given."""
        return self.right / self.given if self.given else 0.0

    @property
    def recall(self) -> float:
        """The share of what was wanted that was given; 0 where nothing was wanted."""
        return self.right / self.wanted if self.wanted else 0.0

    @property
    def f1(self) -> float:
        both = self.given + self.wanted
        return 2 * self.right / both if both else 0.0


def score_fields(pair: FieldPair) -> FieldScore:
    """The score of one answer, over all its fields."""
    return FieldScore((pair.got & pair.wanted).total(), pair.got.total(), pair.wanted.total())


def partial_value(pair: FieldPair) -> float:
    """F1 over the fields of an answer that is not right as a whole: below 1."""
    return min(score_fields(pair).f1, ALMOST)


def scores_by_name(pairs: Iterable[FieldPair]) -> dict[str, FieldScore]:
    """The score of each field over many answers, by the name of the field."""
    right: Counter[str] = Counter()
    given: Counter[str] = Counter()
    wanted: Counter[str] = Counter()
    for pair in pairs:
        for counter, fields in (
            (right, pair.got & pair.wanted),
            (given, pair.got),
            (wanted, pair.wanted),
        ):
            for field, count in fields.items():
                counter[field.name] += count
    names = dict.fromkeys([*wanted, *given])
    return {name: FieldScore(right[name], given[name], wanted[name]) for name in names}
