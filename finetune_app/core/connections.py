"""Closes idle database connections during long waits."""

from django.db import connections


def close_idle() -> None:
    """Close this thread's connections; the next query opens a new one.

    A request holds its connection until it ends. One that waits for a model may take minutes, and
    PostgreSQL allows a hundred connections by default.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
