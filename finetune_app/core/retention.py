"""Deletes rows whose retention period is over, a little at a time."""

import time
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

BATCH = 500  # rows of one transaction
SECONDS = 1.0  # of one run of a periodic task


def retention_end(days: int) -> datetime | None:
    """What is older than this goes; None where 0 days mean for ever.

    A negative number, which settings.py refuses, would make everything older than that.
    """
    return timezone.now() - timedelta(days=days) if days > 0 else None


def delete_in_batches(rows: QuerySet[Any], *, seconds: float = SECONDS) -> bool:
    """Delete `rows` in short transactions for at most `seconds`; True if there are more."""
    started = time.monotonic()
    while keys := list(rows.order_by().values_list("pk", flat=True)[:BATCH]):
        with transaction.atomic():
            rows.model._default_manager.filter(pk__in=keys).delete()
        if time.monotonic() - started > seconds:
            return True
    return False
