"""The lines of the audit log that a block of code adds."""

from collections.abc import Iterator
from contextlib import contextmanager

from finetune_app.audit.models import AuditEntry


@contextmanager
def new_lines() -> Iterator[list[AuditEntry]]:
    before = set(AuditEntry.objects.values_list("pk", flat=True))
    added: list[AuditEntry] = []
    yield added
    added += AuditEntry.objects.exclude(pk__in=before).order_by("pk")
