"""Connections to the database, let go while something else takes its time."""

from django.db import connections


def close_idle() -> None:
    """Close those of this thread; the next question opens a new one.

    A request keeps its connection to its end. One that waits for a model may wait for minutes,
    and PostgreSQL has a hundred connections for everybody.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
