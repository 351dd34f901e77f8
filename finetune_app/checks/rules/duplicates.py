"""Rules about examples that repeat others exactly, in spelling, or almost."""

import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from rapidfuzz import fuzz

from finetune_app.checks.models import Severity
from finetune_app.checks.rules.base import (
    CheckContext,
    CheckResult,
    CheckRow,
    NearDuplicates,
    extra,
    to_keep_one,
)
from finetune_app.checks.rules.conflicts import same_meaning
from finetune_app.core.tool_calls import message_text
from finetune_app.datasets import near_duplicates
from finetune_app.datasets.text import asked, normalise

MIN_RATIO = 90.0  # percent of the letters of two whole examples that are equal, in order
_NUMBER = re.compile(r"\d+")


def repeated(rows: list[CheckRow]) -> list[list[CheckRow]]:
    """Groups of rows with the same question and the same answers, the first row first."""

    def texts(row: CheckRow) -> list[str]:
        said = (f"{one['role']}: {message_text(one).strip()}" for one in row.messages)
        return [*said, row.rejected.strip()]

    return _groups(rows, texts)


def spelled_alike(rows: list[CheckRow]) -> list[list[CheckRow]]:
    """Groups that only differ in case, spaces or Unicode form; of equal rows only one is in."""
    later = {row.pk for group in repeated(rows) for row in group[1:]}
    left = [row for row in rows if row.pk not in later]
    return _groups(
        left, lambda row: [row.prompt_hash, normalise(row.answer), normalise(row.rejected)]
    )


def near_duplicate_groups(alike: NearDuplicates) -> list[list[CheckRow]]:
    """Groups of rows that differ in a few letters and have the same answer.

    Of the groups that `repeated` or `spelled_alike` return, only one row is considered.
    """
    leader: dict[int, CheckRow] = {}
    together: dict[int, list[CheckRow]] = {}
    for one, other in sorted(_close_pairs(alike), key=lambda pair: pair[1].number):
        first = leader.get(one.pk, one)
        if other.pk in leader or other.pk in together:
            continue
        leader[other.pk] = first
        together.setdefault(first.pk, [first]).append(other)
    return list(together.values())


def _close_pairs(alike: NearDuplicates) -> Iterator[tuple[CheckRow, CheckRow]]:
    """Pairs, the earlier row first. Rows that only differ in spelling count as one row."""
    seen: dict[bytes, CheckRow] = {}
    for pair in (*alike.pairs, *_equal_questions(alike.groups)):
        one, other = (seen.setdefault(_spelled(row), row) for row in _in_order(pair))
        if one.pk != other.pk and is_near_duplicate(one, other):
            yield _in_order((one, other))


def _equal_questions(groups: list[list[CheckRow]]) -> Iterator[tuple[CheckRow, CheckRow]]:
    """Of rows with the same question, each paired with the first one."""
    for group in groups:
        first: dict[str, CheckRow] = {}
        for row in group:
            if first.setdefault(row.prompt_hash, row) is not row:
                yield first[row.prompt_hash], row


def _in_order(pair: tuple[CheckRow, CheckRow]) -> tuple[CheckRow, CheckRow]:
    one, other = pair
    return (one, other) if one.number <= other.number else (other, one)


def is_near_duplicate(one: CheckRow, other: CheckRow) -> bool:
    """Whether the texts are almost equal and the answers mean the same."""
    if not same_meaning(one.answer, other.answer) or not same_meaning(one.rejected, other.rejected):
        return False
    a, b = whole(one), whole(other)
    return fuzz.ratio(a, b, score_cutoff=MIN_RATIO) >= MIN_RATIO and _same_numbers(a, b)


def _same_numbers(one: str, other: str) -> bool:
    """A different number makes a different question, however similar the rest is."""
    return sorted(_NUMBER.findall(one)) == sorted(_NUMBER.findall(other))


def whole(row: CheckRow) -> str:
    """The normalised text of a row without its instructions, for comparison."""
    turns = [text for _role, text in asked(row.messages)]
    return "\n".join([*turns, normalise(row.answer)])[: near_duplicates.LONGEST]


def _spelled(row: CheckRow) -> bytes:
    return _digest([row.prompt_hash, normalise(row.answer), normalise(row.rejected)])


def _groups(rows: list[CheckRow], key: Callable[[CheckRow], list[str]]) -> list[list[CheckRow]]:
    groups: dict[bytes, list[CheckRow]] = defaultdict(list)
    for row in rows:
        groups[_digest(key(row))].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _digest(parts: list[str]) -> bytes:
    text = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).digest()


def duplicate_examples(rows: list[CheckRow], context: CheckContext) -> Iterator[CheckResult]:
    yield from _equal(repeated(rows))
    yield from _alike(spelled_alike(rows))
    yield from _near_duplicates(near_duplicate_groups(context.near_duplicates))


def _equal(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    more = extra(groups)
    yield from to_keep_one(
        "duplicates",
        Severity.ERROR,
        groups,
        fix="keep_one",
        message=ngettext("%(n)s example repeats another one", "%(n)s examples repeat others", more)
        % {"n": more},
        why=_(
            "What comes twice counts twice: the model leans towards it, and the test counts it "
            "twice as well. Keep one of each."
        ),
    )


def _alike(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    """The difference in spelling may be what the model should learn, so a person decides."""
    more = extra(groups)
    yield from to_keep_one(
        "spelled_alike",
        Severity.WARNING,
        groups,
        fix="keep_one_spelling",
        message=ngettext(
            "%(n)s example differs from another only in capitals or spaces",
            "%(n)s examples differ from others only in capitals or spaces",
            more,
        )
        % {"n": more},
        why=_(
            "If that makes no difference to you, keep one of each. If it is what the model "
            "should learn, leave them."
        ),
    )


def _near_duplicates(groups: list[list[CheckRow]]) -> Iterator[CheckResult]:
    more = extra(groups)
    yield from to_keep_one(
        "near_duplicates",
        Severity.WARNING,
        groups,
        fix="keep_one_of_each",
        message=ngettext(
            "%(n)s example is almost the same as another one",
            "%(n)s examples are almost the same as others",
            more,
        )
        % {"n": more},
        why=_(
            "They teach little that is new, and make the model lean towards them. Keep one "
            "of each unless the small difference matters."
        ),
    )
