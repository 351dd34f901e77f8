"""How many examples there are of each kind.

A small set is counted each time. Counting a million rows takes too long for a page, so a large
set remembers its tally, which every write keeps up to date within its own transaction. A write
that does not say what it changed only moves `changed_at`, and the next reader counts anew: the
tally can be missing, never wrong.
"""

from collections import Counter
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db.models import Count, Q

from finetune_app.datasets.models import Dataset, Example, Split, Status

LARGE = 10_000  # numbers given out from which a set remembers
WAITING = (Status.PENDING, Status.DISPUTED)  # for a person

Kind = tuple[str, str, bool]  # status, split, whether it is in the trash


def counts(dataset: Dataset) -> dict[str, int]:
    """{"all", "trash", each status, each split}; the splits count usable examples only."""
    found = Counter[str](dict.fromkeys(("all", "trash", *Status.values, *Split.values), 0))
    for (status, split, gone), number in kinds(dataset).items():
        if gone:
            found["trash"] += number
            continue
        found["all"] += number
        found[status] += number
        if status == Status.APPROVED:
            found[split] += number
    return dict(found)


def kinds(dataset: Dataset) -> dict[Kind, int]:
    if dataset.last_number <= LARGE:
        return _count(dataset)
    if not _stands(dataset.tally, dataset.changed_at):
        tally = _stored(_count(dataset), dataset.changed_at)
        # Only if nobody wrote meanwhile: then the count may be of before.
        Dataset.objects.filter(pk=dataset.pk, changed_at=dataset.changed_at).update(tally=tally)
        dataset.tally = tally
    return _read(dataset.tally)


def moved(dataset: Dataset, at: datetime, delta: Counter[Kind]) -> dict[str, Any]:
    """The tally after a write at the moment `at`. `dataset` is as it was before, and locked."""
    if dataset.last_number <= LARGE or not _stands(dataset.tally, dataset.changed_at):
        return {}
    now = Counter(_read(dataset.tally))
    now.update(delta)
    return _stored(now, at)


def begun_and_waiting(datasets: Iterable[Dataset]) -> dict[int, tuple[int, int]]:
    """By dataset: how many examples are approved or begun, and how many wait for a person's
    answer. What is set aside or in the trash counts for neither."""
    found, small = {}, []
    for dataset in datasets:
        if dataset.last_number <= LARGE:
            small.append(dataset.pk)
        else:
            every = counts(dataset)
            waiting = sum(every[status] for status in WAITING)
            found[dataset.pk] = (every["all"] - every[Status.SET_ASIDE] - waiting, waiting)
    rows = Example.objects.kept().exclude(status=Status.SET_ASIDE).filter(dataset__in=small)
    waits = Q(status__in=WAITING)
    few = (
        rows.order_by()
        .values_list("dataset")
        .annotate(begun=Count("pk", filter=~waits), waiting=Count("pk", filter=waits))
    )
    return found | {pk: (begun, waiting) for pk, begun, waiting in few}


def kind_of(example: Example) -> Kind:
    return str(example.status), str(example.split), example.deleted_at is not None


def _count(dataset: Dataset) -> dict[Kind, int]:
    rows = dataset.examples.arrived().order_by().values_list("status", "split")
    counted = rows.annotate(kept=Count("pk", filter=Q(deleted_at=None)), every=Count("pk"))
    found: dict[Kind, int] = {}
    for status, split, kept, every in counted:
        found[status, split, False] = kept
        found[status, split, True] = every - kept
    return found


def _stands(tally: dict[str, Any], changed_at: datetime) -> bool:
    return tally.get("at") == changed_at.isoformat()


def _stored(found: dict[Kind, int], at: datetime) -> dict[str, Any]:
    rows = [[*kind, number] for kind, number in found.items() if number]
    return {"at": at.isoformat(), "rows": rows}


def _read(tally: dict[str, Any]) -> dict[Kind, int]:
    return {(status, split, gone): number for status, split, gone, number in tally["rows"]}
