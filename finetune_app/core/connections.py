"""Database connections: given back during long waits, and what it means when there is none."""

from django.db import OperationalError, connection, connections

WHAT_TO_DO = {
    "sqlite": "Make its folder, and let this user write in it, or set DATABASE_URL to another.",
    "postgresql": "Start PostgreSQL, make the database with `createdb NAME`, or set DATABASE_URL "
    "to another.",
}


def give_back() -> None:
    """Close this thread's connections, unless they are kept for the next request (CONN_MAX_AGE).

    A request holds its connection until it ends. One that waits for a model may take minutes, and
    PostgreSQL allows a hundred connections by default.
    """
    for one in connections.all(initialized_only=True):
        if not one.in_atomic_block:
            one.close_if_unusable_or_obsolete()


def none_was_free(error: BaseException | None) -> bool:
    """Whether a query failed because all connections of the pool were in use for too long."""
    if not isinstance(error, OperationalError):
        return False
    from psycopg_pool import PoolTimeout  # not loaded on SQLite

    return isinstance(error.__cause__, PoolTimeout)


def why_no_database() -> str:
    """Why the database cannot be connected to, and what to do; "" where it can."""
    try:
        connection.ensure_connection()
    except OperationalError as error:
        # The driver names the host, the user and the database, never the password.
        reason = str(error).partition("\n")[0].removeprefix("connection failed: ").rstrip(".")
        return f"The database cannot be used: {reason}. {WHAT_TO_DO[connection.vendor]}"
    return ""
