"""Database connections: closed during long waits, and what it means when none is free."""

from django.db import OperationalError, connections


def close_idle() -> None:
    """Close this thread's connections; the next query opens a new one.

    A request holds its connection until it ends. One that waits for a model may take minutes, and
    PostgreSQL allows a hundred connections by default.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def none_was_free(error: BaseException | None) -> bool:
    """Whether a query failed because all connections of the pool were in use for too long."""
    if not isinstance(error, OperationalError):
        return False
    from psycopg_pool import PoolTimeout  # not loaded on SQLite

    return isinstance(error.__cause__, PoolTimeout)
