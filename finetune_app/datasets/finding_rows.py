"""The rows of a large finding, a page at a time.

The keys of all its rows are one list. Read out of it by the database they take half a second a
page; here they are read once, kept while the process lives, and a page asks for a few of them.
Keys are given out in the order of the numbers.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache

from django.db import connection
from django.db.models import BooleanField, Case, Q, When
from django.db.models.expressions import RawSQL

from finetune_app.datasets.models import Dataset, Example, ExampleQuerySet, Finding

KEPT = 4  # lists, of at most 8 MB each
AT_ONCE, AT_MOST = 500, 2_000  # keys in a query: the first one, and those after it
WALKED = 20_000  # rows or keys that are looked through before the database is asked after all


@lru_cache(maxsize=KEPT)
def keys_of(finding: int, checked_at: datetime | None) -> Sequence[int]:
    """Sorted. `checked_at` tells it from one that had the same key in another life."""
    found = Finding.objects.filter(pk=finding).values_list("examples", flat=True).first()
    return array("q", sorted(found or ()))


def holds(keys: Sequence[int], key: int) -> bool:
    place = bisect_left(keys, key)
    return place < len(keys) and keys[place] == key


def by_number(
    dataset: Dataset,
    rows: ExampleQuerySet,
    keys: Sequence[int],
    *,
    after: int = 0,
    before: int = 0,
    most: int,
) -> list[Example] | None:
    """The first `most` of them behind the number `after`, or the last ones ahead of `before`,
    backwards. None where other conditions leave too few of them."""
    places = range(len(keys))
    if after:
        last = dataset.examples.filter(number__lte=after).order_by("-number")
        key = last.values_list("pk", flat=True).first()
        places = places[bisect_right(keys, key or 0) :]
    elif before:
        first = dataset.examples.filter(number__gte=before).order_by("number")
        key = first.values_list("pk", flat=True).first()
        places = places[: bisect_left(keys, key) if key else None][::-1]
    taken: list[Example] = []
    at, step = 0, AT_ONCE
    while at < len(places) and len(taken) < most:
        if at >= WALKED:
            return None
        some = [keys[place] for place in places[at : at + step]]
        here = rows.filter(pk__in=some).order_by("-number" if before else "number")
        taken += here[: most - len(taken)]
        at, step = at + step, AT_MOST
    return taken


def by_another(
    rows: ExampleQuerySet, keys: Sequence[int], *, among: int, most: int
) -> list[Example] | None:
    """The first of `rows`, which are in their order, that are among the keys. None where they
    are not met soon: `among` rows there are in all."""
    likely = 2 * most * among // max(len(keys), 1)
    for limit in (AT_ONCE, WALKED // 5, WALKED):
        if likely > limit:
            continue
        met = list(rows.values_list("pk", flat=True)[:limit])
        wanted = [key for key in met if holds(keys, key)][:most]
        if len(wanted) == most or len(met) < limit:
            # By their keys alone: with the other conditions SQLite would walk through all rows.
            found = Example.objects.select_related("changed_by").in_bulk(wanted)
            return [found[key] for key in wanted if key in found]
    return None


# ---- Where the database has to look through all of them ----


def asked_row_by_row(wanted: Q) -> Q:
    """PostgreSQL takes any list to be short, and would look up each of a million keys by itself.
    Of a condition within a condition it makes a table once and asks that, row by row."""
    if connection.vendor == "sqlite":
        return wanted
    return Q(Case(When(wanted, then=True), default=False, output_field=BooleanField()))


def listed_in(pk: int) -> RawSQL:
    """The keys of all that a check found, read out of its list by the database."""
    values = (
        "SELECT value FROM datasets_finding, json_each(datasets_finding.examples)"
        if connection.vendor == "sqlite"
        else "SELECT value::bigint FROM datasets_finding, jsonb_array_elements_text(examples)"
    )
    return RawSQL(f"{values} WHERE datasets_finding.id = %s", [pk])
