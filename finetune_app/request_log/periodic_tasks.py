"""Periodic tasks of the request log."""

from finetune_app.request_log import retention, rollups


def roll_up() -> None:
    """Add up the requests of finished hours."""
    rollups.roll_up_finished_hours()


def delete_expired() -> None:
    """Delete texts that are older than their deployment keeps them."""
    retention.delete_expired()
