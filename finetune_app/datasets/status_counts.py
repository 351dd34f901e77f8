"""The number of examples of each status and split, read from a covering index.

A column of the index is counted: for the primary key PostgreSQL would read the table.
"""

from collections import Counter
from collections.abc import Iterable

from django.db.models import Count, Q

from finetune_app.datasets.models import Dataset, Example, Split, Status

WAITING = (Status.PENDING, Status.DISPUTED)  # for a person


def counts(dataset: Dataset) -> dict[str, int]:
    """{"all", "trash", each status, each split}; the splits count usable examples only."""
    found = Counter[str](dict.fromkeys(("all", "trash", *Status.values, *Split.values), 0))
    rows = dataset.examples.arrived().order_by().values_list("status", "split")
    for status, split, kept, total in rows.annotate(
        kept=Count("status", filter=Q(deleted_at=None)), total=Count("status")
    ):
        found["trash"] += total - kept
        found["all"] += kept
        found[status] += kept
        if status == Status.APPROVED:
            found[split] += kept
    return dict(found)


def begun_and_waiting(datasets: Iterable[Dataset]) -> dict[int, tuple[int, int]]:
    """By dataset: the number of examples that are approved or begun, and of those that wait for a
    person. Examples that are set aside or in the trash are not counted."""
    rows = Example.objects.kept().filter(dataset__in=datasets).order_by()
    found: dict[int, tuple[int, int]] = {}
    for dataset, status, count in rows.values_list("dataset", "status").annotate(n=Count("status")):
        begun, waiting = found.get(dataset, (0, 0))
        if status in WAITING:
            found[dataset] = (begun, waiting + count)
        elif status != Status.SET_ASIDE:
            found[dataset] = (begun + count, waiting)
    return found
