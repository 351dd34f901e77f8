"""The number of examples of each status and split, read from a covering index.

A column of the index is counted: for the primary key PostgreSQL would read the table.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

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


@dataclass
class Answered:
    """Numbers of examples that are approved or begun, and that wait for a person. Those that are
    set aside or in the trash are not counted."""

    begun: int = 0
    waiting: int = 0


def begun_and_waiting(goal_ids: Iterable[int]) -> defaultdict[int, Answered]:
    """By goal."""
    rows = Example.objects.kept().filter(dataset__goal__in=goal_ids).order_by()
    found = defaultdict[int, Answered](Answered)
    counted = rows.values_list("dataset__goal", "status").annotate(n=Count("status"))
    for goal_id, status, count in counted:
        if status in WAITING:
            found[goal_id].waiting += count
        elif status != Status.SET_ASIDE:
            found[goal_id].begun += count
    return found
