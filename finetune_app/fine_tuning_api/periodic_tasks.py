"""Periodic tasks of the fine-tuning API."""

from finetune_app.fine_tuning_api import uploads
from finetune_app.fine_tuning_api.models import ApiFile
from finetune_app.jobs.periodic_tasks import PeriodicTask


def delete_expired_files() -> None:
    """Delete files whose time is over; what was learned from them stays."""
    for file in ApiFile.objects.expired():
        file.delete()


def delete_expired_uploads() -> None:
    """Delete the parts of uploads that nobody completed in time, and later the uploads."""
    uploads.delete_expired()


TASKS = (
    PeriodicTask(delete_expired_files, every_seconds=300),
    PeriodicTask(delete_expired_uploads, every_seconds=300),
)
