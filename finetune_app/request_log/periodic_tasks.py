"""Periodic tasks of the request log."""

from finetune_app.jobs.periodic_tasks import PeriodicTask
from finetune_app.request_log import retention, rollups


def roll_up() -> None:
    """Aggregate the requests of finished hours."""
    rollups.roll_up_finished_hours()


def delete_expired() -> None:
    """Delete texts whose retention period is over."""
    retention.delete_expired()


def delete_old_requests() -> None:
    """Delete requests whose retention period is over; the hourly figures stay."""
    retention.delete_old_requests()


TASKS = (
    PeriodicTask(roll_up, every_seconds=20),
    PeriodicTask(delete_expired, every_seconds=60),
    PeriodicTask(delete_old_requests, every_seconds=600),
)
