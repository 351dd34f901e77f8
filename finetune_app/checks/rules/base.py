"""The input and output types of the check rules."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from django.utils.translation import gettext as _

from finetune_app.checks.models import Severity
from finetune_app.core.chat_messages import Message
from finetune_app.goals.measures.base import MeasureSettings


class CheckRow(NamedTuple):
    """One approved example."""

    pk: int
    number: int
    prompt: str
    answer: str
    split: str
    prompt_hash: str
    messages: list[Message]
    rejected: str = ""  # a worse answer
    group: str = ""  # rows of one are never both learned and tested


class Mark(NamedTuple):
    """What a check detected in one row: the index of a text (row_texts.py), which is the message's,
    and the span `start:end` in it."""

    check: str
    message: int = 0
    start: int = 0
    end: int = 0
    what: str = ""


@dataclass(frozen=True)
class RowScan:
    """Everything that can be detected in a single row.

    `language` is a code, or "" where it is unknown. `toxic` (a probability) and the two lengths in
    tokens are None until the thorough check, which runs in its own process, has computed them.
    """

    marks: tuple[Mark, ...] = ()
    language: str = ""
    toxic: float | None = None
    tokens: int | None = None
    answer_tokens: int | None = None


@dataclass(frozen=True)
class TokenLimit:
    """The base model whose tokens are counted, and the longest example that training reads."""

    key: str  # identifies the tokenizer
    model: str  # name of the base model
    folder: str  # relative to DATA_DIR
    max_tokens: int


@dataclass(frozen=True)
class NearDuplicates:
    """Groups of rows that ask nearly the same, the first row first; and pairs of different
    questions that may only differ by a typing mistake or two."""

    groups: list[list[CheckRow]] = field(default_factory=list)
    pairs: list[tuple[CheckRow, CheckRow]] = field(default_factory=list)


@dataclass(frozen=True)
class CheckContext:
    """What the rules know about the goal and about each row."""

    measure: str
    measure_settings: MeasureSettings
    trains: bool = True  # False: the rows are only validation and test questions
    labels: list[str] = field(default_factory=list)  # the closed set of answers, if there is one
    token_limit: TokenLimit | None = None  # None: no base model is chosen yet
    disagreed: list[int] = field(default_factory=list)  # pks that two people answered differently
    labelled_twice: int = 0
    scans: dict[int, RowScan] = field(default_factory=dict)  # by pk
    near_duplicates: NearDuplicates = field(default_factory=lambda: NearDuplicates())

    def marked(self, check: str) -> dict[int, list[Mark]]:
        """The marks of one check, by pk."""
        found = {}
        for pk, seen in self.scans.items():
            marks = [mark for mark in seen.marks if mark.check == check]
            if marks:
                found[pk] = marks
        return found


@dataclass(frozen=True)
class CheckResult:
    check: str
    severity: Severity
    message: str  # one plain line
    why: str  # one plain sentence: what it does to the model or to the verdict
    examples: list[int] = field(default_factory=list)  # pks
    fix: str = ""
    fix_label: str = ""
    groups: list[list[int]] = field(default_factory=list)  # pks that belong together
    spans: dict[int, list[list[Any]]] = field(default_factory=dict)  # pk: [message, from, to, what]

    @property
    def count(self) -> int:
        return len(self.examples)


def spans_of(found: dict[int, list[Mark]]) -> dict[int, list[list[Any]]]:
    """The places of the marks, as a finding stores them."""
    return {pk: [list(mark[1:]) for mark in marks] for pk, marks in found.items()}


def grouped(groups: Iterable[Iterable[CheckRow]]) -> list[list[int]]:
    return [[row.pk for row in group] for group in groups]


def to_set_aside(
    check: str, severity: Severity, examples: list[int], *, message: str, why: str
) -> Iterator[CheckResult]:
    """A finding whose fix sets its rows aside; nothing where there are no rows."""
    if examples:
        yield CheckResult(
            check=check,
            severity=severity,
            message=message,
            why=why,
            examples=examples,
            fix="set_aside",
            fix_label=_("Set %(n)s aside") % {"n": len(examples)},
        )


def to_keep_one(
    check: str,
    severity: Severity,
    groups: list[list[CheckRow]],
    *,
    message: str,
    why: str,
    fix: str,
) -> Iterator[CheckResult]:
    """A finding whose fix keeps one row of each group; nothing where there are no groups."""
    if groups:
        yield CheckResult(
            check=check,
            severity=severity,
            message=message,
            why=why,
            examples=[row.pk for group in groups for row in group],
            groups=grouped(groups),
            fix=fix,
            fix_label=_("Set %(n)s aside") % {"n": extra(groups)},
        )


def extra(groups: list[list[CheckRow]]) -> int:
    """How many rows are removed when one of each group stays."""
    return sum(len(group) - 1 for group in groups)
