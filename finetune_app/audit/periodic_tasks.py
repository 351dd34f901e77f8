"""Periodic tasks of the audit log."""

from django.conf import settings

from finetune_app.audit.models import AuditEntry
from finetune_app.core.retention import retention_end
from finetune_app.jobs.periodic_tasks import PeriodicTask


def delete_old_lines() -> None:
    """Delete lines whose retention period is over; the newest 30 days always stay."""
    before = retention_end(settings.AUDIT_LOG_DAYS)
    if before:
        AuditEntry.objects.delete_older_than(before)


TASKS = (PeriodicTask(delete_old_lines, every_seconds=3600),)
