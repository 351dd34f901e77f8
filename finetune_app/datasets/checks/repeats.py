"""The same example more than once, or almost."""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.datasets import similar
from finetune_app.datasets.checks.base import About, Found, Row, grouped
from finetune_app.datasets.checks.conflicts import same_meaning
from finetune_app.datasets.models import Severity
from finetune_app.datasets.text import asked, normalise

ALMOST = 0.85  # overlap of two whole examples from which they are almost the same
MOST_COMPARED = 30  # each row of a group with so many before it
MOST_GROUPS = 20_000


def repeated(rows: list[Row]) -> list[list[Row]]:
    """Groups of rows with the same question and the same answer, the first row first."""
    return _groups(rows, lambda row: [str(one.get("content", "")).strip() for one in row.messages])


def spelled_alike(rows: list[Row]) -> list[list[Row]]:
    """Groups that differ in capitals, spaces or forms of letters alone; of equal ones the first."""
    later = {row.pk for group in repeated(rows) for row in group[1:]}
    left = [row for row in rows if row.pk not in later]
    return _groups(left, lambda row: [row.prompt_hash, normalise(row.answer)])


def almost(alike: list[list[Row]]) -> list[list[Row]]:
    """Within groups with nearly the same question: rows that are nearly the same as a whole, and
    answer the same. Those that `repeated` or `spelled_alike` have are left out but for one."""
    found: list[list[Row]] = []
    for group in alike:
        different = {_spelled(row): row for row in reversed(group)}
        rows = list(reversed(different.values()))
        if len(rows) > 1:
            found += _almost_within(rows)
    return found


def _almost_within(rows: list[Row]) -> Iterator[list[Row]]:
    texts = [whole(row) for row in rows]
    leader = list(range(len(rows)))
    for at in range(1, len(rows)):
        for other in range(max(0, at - MOST_COMPARED), at):
            if similar.likeness(texts[at], texts[other]) >= ALMOST and same_meaning(
                rows[at].answer, rows[other].answer
            ):
                leader[at] = leader[other]
                break
    together: dict[int, list[Row]] = defaultdict(list)
    for row, first in zip(rows, leader, strict=True):
        together[first].append(row)
    return (group for group in together.values() if len(group) > 1)


def whole(row: Row) -> str:
    """All that is said in a row but its instructions, as it is compared."""
    turns = [text for _role, text in asked(row.messages)]
    return "\n".join([*turns, normalise(row.answer)])


def _spelled(row: Row) -> bytes:
    return _digest([row.prompt_hash, normalise(row.answer)])


def _groups(rows: list[Row], key: Callable[[Row], list[str]]) -> list[list[Row]]:
    groups: dict[bytes, list[Row]] = defaultdict(list)
    for row in rows:
        groups[_digest(key(row))].append(row)
    return [group for group in groups.values() if len(group) > 1]


def _digest(parts: list[str]) -> bytes:
    text = "\0".join(parts).encode("utf-8", "replace")
    return hashlib.blake2b(text, digest_size=16).digest()


def same_twice(rows: list[Row], about: About) -> Iterator[Found]:
    yield from _equal(repeated(rows))
    yield from _alike(spelled_alike(rows))
    yield from _almost(almost(about.alike))


def _almost(groups: list[list[Row]]) -> Iterator[Found]:
    extra = sum(len(group) - 1 for group in groups)
    if extra:
        yield Found(
            check="near_duplicates",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s example is almost the same as another one",
                "%(n)s examples are almost the same as others",
                extra,
            ) % {"n": extra},
            why=_("They teach little that is new, and make the model lean towards them. Keep one "
                  "of each unless the small difference matters."),
            examples=[row.pk for group in groups for row in group],
            groups=grouped(groups[:MOST_GROUPS]),
            fix="keep_one_of_each",
            fix_label=_("Set %(n)s aside") % {"n": extra},
        )


def _alike(groups: list[list[Row]]) -> Iterator[Found]:
    """Perhaps a repeat, perhaps the very difference that is to be learned: a person decides."""
    extra = sum(len(group) - 1 for group in groups)
    if extra:
        yield Found(
            check="spelled_alike",
            severity=Severity.WARNING,
            message=ngettext(
                "%(n)s example differs from another only in capitals or spaces",
                "%(n)s examples differ from others only in capitals or spaces",
                extra,
            ) % {"n": extra},
            why=_("If that makes no difference to you, keep one of each. If it is what the model "
                  "should learn, leave them."),
            examples=[row.pk for group in groups for row in group],
            groups=grouped(groups[:MOST_GROUPS]),
            fix="keep_one_spelling",
            fix_label=_("Set %(n)s aside") % {"n": extra},
        )


def _equal(groups: list[list[Row]]) -> Iterator[Found]:
    extra = sum(len(group) - 1 for group in groups)
    if not extra:
        return
    yield Found(
        check="duplicates",
        severity=Severity.ERROR,
        message=ngettext(
            "%(n)s example repeats another one", "%(n)s examples repeat others", extra
        ) % {"n": extra},
        why=_("What comes twice counts twice: the model leans towards it, and the test counts it "
              "twice as well. Keep one of each."),
        examples=[row.pk for group in groups for row in group],
        groups=grouped(groups[:MOST_GROUPS]),
        fix="keep_one",
        fix_label=_("Set %(n)s aside") % {"n": extra},
    )
