"""What the clock does for this room now and then (jobs/periodic_tasks.py)."""

from finetune_app.deployment.monitoring import drift, hours, keeping


def add_up() -> None:
    """Hours of requests that are over."""
    hours.catch_up()


def forget() -> None:
    """Texts whose days are over."""
    keeping.forget_old()


def compare() -> None:
    """Live prompts with those that were learned from, once a day."""
    drift.begin_due()
