"""Periodic tasks of monitoring."""

from finetune_app.monitoring import drift


def start_drift_checks() -> None:
    """Compare live prompts with training prompts, once a day."""
    drift.start_due()
