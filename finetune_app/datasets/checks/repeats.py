"""The same example more than once."""

from collections import defaultdict
from collections.abc import Callable, Hashable, Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.datasets.checks.base import About, Found, Row
from finetune_app.datasets.models import Severity
from finetune_app.datasets.text import normalise


def repeated(rows: list[Row]) -> list[list[Row]]:
    """Groups of rows with the same question and the same answer, the first row first."""
    return _groups(rows, lambda row: tuple(turn["content"].strip() for turn in row.messages))


def spelled_alike(rows: list[Row]) -> list[list[Row]]:
    """Groups that differ in capitals, spaces or forms of letters alone; of equal ones the first."""
    later = {row.pk for group in repeated(rows) for row in group[1:]}
    left = [row for row in rows if row.pk not in later]
    return _groups(left, lambda row: (row.prompt_hash, normalise(row.answer)))


def _groups(rows: list[Row], key: Callable[[Row], Hashable]) -> list[list[Row]]:
    groups: dict[Hashable, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def same_twice(rows: list[Row], about: About) -> Iterator[Found]:
    yield from _equal(repeated(rows))
    yield from _alike(spelled_alike(rows))


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
        fix="keep_one",
        fix_label=_("Set %(n)s aside") % {"n": extra},
    )
