"""What the clock does for this room now and then (jobs/chores.py)."""

from finetune_app.deployment.monitoring import hours, keeping


def add_up() -> None:
    """Hours of requests that are over."""
    hours.catch_up()


def forget() -> None:
    """Texts whose days are over."""
    keeping.forget_old()
