"""Deleting for good what is in the trash, with all that hangs on it."""

import time
from collections import Counter

from django.db import transaction

from finetune_app.datasets import status_counts
from finetune_app.datasets.models import Dataset, Example
from finetune_app.datasets.services.bulk_edits import SOME
from finetune_app.datasets.services.locking import lock, mark_changed

MOMENT = 2.0  # seconds that one request works


def empty_trash(*, dataset: Dataset, seconds: float | None = None) -> int:
    """Delete for a moment; returns how many went. Call it again while some are left."""
    ends = time.monotonic() + (MOMENT if seconds is None else seconds)
    gone = 0
    while True:
        with transaction.atomic():
            lock(dataset)
            trash = dataset.examples.filter(deleted_at__isnull=False).order_by("number")
            some = list(trash.values_list("pk", "status", "split")[:SOME])
            if not some:
                return gone
            Example.objects.filter(pk__in=[key for key, _status, _split in some]).delete()
            delta: Counter[status_counts.Kind] = Counter()
            for _key, status, split in some:
                delta[status, split, True] -= 1
            mark_changed(dataset, delta)
        gone += len(some)
        if time.monotonic() >= ends:
            return gone
