"""Deletes the examples in the trash for good."""

import time

from django.db import transaction

from finetune_app.datasets.models import Dataset, Example
from finetune_app.datasets.services.editing import MAX_QUERY_KEYS
from finetune_app.datasets.services.locking import lock, mark_changed

MAX_REQUEST_SECONDS = 2.0


def empty_trash(*, dataset: Dataset, seconds: float | None = None) -> int:
    """Delete until the time is up and return how many were deleted. Call again if some are left."""
    ends = time.monotonic() + (MAX_REQUEST_SECONDS if seconds is None else seconds)
    gone = 0
    while True:
        with transaction.atomic():
            lock(dataset)
            trash = dataset.examples.filter(deleted_at__isnull=False).order_by("number")
            some = list(trash.values_list("pk", flat=True)[:MAX_QUERY_KEYS])
            if not some:
                return gone
            Example.objects.filter(pk__in=some).delete()
            mark_changed(dataset)
        gone += len(some)
        if time.monotonic() >= ends:
            return gone
