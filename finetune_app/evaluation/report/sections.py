"""The parts that a report is made of, as plain data."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Fact:
    """What it is about, what it is, and what that means."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    columns: list[str]
    rows: list[list[str]]


@dataclass(frozen=True)
class Section:
    """A part of the report; what is empty is left out. `quote`: a person's own words."""

    title: str
    text: Sequence[str] = ()
    quote: str = ""
    facts: Sequence[Fact] = ()
    points: Sequence[str] = ()
    table: Table | None = None
