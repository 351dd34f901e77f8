"""The rows of each table, for the scripts of this folder."""

from django.db import connection

# Django's own, which are made anew by each migration or by a sign-in.
LEFT_OUT = ("django_", "auth_", "axes_")


def row_counts() -> dict[str, int]:
    found = {}
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            if not name.startswith(LEFT_OUT):
                cursor.execute(f'SELECT count(*) FROM "{name}"')
                found[name] = cursor.fetchone()[0]
    return found
