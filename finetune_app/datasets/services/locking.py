"""Locks for writing examples: one writer for each dataset.

Take the lock of the dataset before reading the examples to change: writers that take their locks
in the same order cannot deadlock.
"""

from typing import Any

from django.db import connection, transaction
from django.utils import timezone
from django.utils.translation import ngettext

from finetune_app.datasets.models import Dataset, Example


def lock(dataset: Dataset) -> Dataset:
    """The dataset as it is now, held until the transaction ends."""
    return Dataset.objects.select_for_update().get(pk=dataset.pk)


def lock_example(example: Example) -> Example:
    """The row as it is now, until the transaction ends; its dataset's lock first."""
    lock(example.dataset)
    row = Example.objects.select_for_update(of=("self",)).select_related("dataset__goal")
    return row.get(pk=example.pk)


def mark_changed(dataset: Dataset, **values: Any) -> None:
    """Record that examples changed."""
    Dataset.objects.filter(pk=dataset.pk).update(changed_at=timezone.now(), **values)


def vacuum_after_commit() -> None:
    """Let PostgreSQL vacuum and analyze the examples after very many were written.

    It would do so by itself a minute later. Until then it plans queries with old statistics, and
    counts read the table instead of an index.
    """
    if connection.vendor == "postgresql":
        transaction.on_commit(_vacuum)


def _vacuum() -> None:
    # VACUUM runs outside of transactions only, and a test may hold one.
    vacuum = "" if connection.in_atomic_block else "VACUUM "
    with connection.cursor() as cursor:
        cursor.execute(f"{vacuum}ANALYZE datasets_example")


def count_label(count: int) -> str:
    return ngettext("%(n)s example", "%(n)s examples", count) % {"n": f"{count:,}"}
