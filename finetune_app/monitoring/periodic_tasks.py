"""Periodic tasks of monitoring."""

from finetune_app.jobs.periodic_tasks import PeriodicTask
from finetune_app.monitoring import drift


def start_drift_checks() -> None:
    """Compare live prompts with training prompts, once a day."""
    drift.start_due()


TASKS = (PeriodicTask(start_drift_checks, every_seconds=600),)
