"""What every write of examples stands on: one writer a dataset, and a tally that stays true.

Take the dataset's lock before you read the examples that you are going to change: writers that
take their locks in the same order never wait for each other in a ring.
"""

from collections import Counter
from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import ngettext

from finetune_app.datasets import status_counts
from finetune_app.datasets.models import Dataset, Example


def lock(dataset: Dataset) -> Dataset:
    """The dataset as it is now, held until the transaction ends."""
    return Dataset.objects.select_for_update().get(pk=dataset.pk)


def lock_example(example: Example) -> Example:
    """The row as it is now, until the transaction ends; its dataset's lock first."""
    lock(example.dataset)
    row = Example.objects.select_for_update(of=("self",)).select_related("dataset__goal")
    return row.get(pk=example.pk)


def mark_changed(
    dataset: Dataset, delta: Counter[status_counts.Kind] | None = None, **values: Any
) -> None:
    """Say that examples changed. `delta`: how many more or fewer there are of each kind now
    (status_counts.Kind); without it a large set is counted anew by the next reader."""
    now = timezone.now()
    counted = {} if delta is None else status_counts.moved(lock(dataset), now, delta)
    Dataset.objects.filter(pk=dataset.pk).update(changed_at=now, tally=counted, **values)
    if delta is None and dataset.last_number > status_counts.LARGE:
        transaction.on_commit(_count_for_plans)


def _count_for_plans() -> None:
    """After very many rows came or went, PostgreSQL plans badly until it has looked at the table,
    which it does by itself only minutes later."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("ANALYZE datasets_example")


def count_label(count: int) -> str:
    return ngettext("%(n)s example", "%(n)s examples", count) % {"n": f"{count:,}"}
