"""Counts that end early: of a million rows a page says "more than 10,000", and is quick."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.utils.translation import gettext as _


@dataclass(frozen=True)
class CappedCount:
    rows: int
    more: bool = False  # there are more than `rows`

    def __str__(self) -> str:
        shown = f"{self.rows:,}"
        return _("more than %(n)s") % {"n": shown} if self.more else shown


def count_up_to(rows: "QuerySet[Any]", most: int) -> CappedCount:
    found = rows[: most + 1].count()
    return CappedCount(min(found, most), found > most)
