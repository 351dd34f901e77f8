"""The same example more than once."""

from collections import defaultdict
from collections.abc import Iterator

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.datasets.checks.base import About, Found, Row
from finetune_app.datasets.models import Severity
from finetune_app.datasets.text import normalise


def repeated(rows: list[Row]) -> list[list[Row]]:
    """Groups of rows with the same question and the same answer, the first row first."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.prompt_hash, normalise(row.answer)].append(row)
    return [group for group in groups.values() if len(group) > 1]


def same_twice(rows: list[Row], about: About) -> Iterator[Found]:
    groups = repeated(rows)
    if not groups:
        return
    extra = sum(len(group) - 1 for group in groups)
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
