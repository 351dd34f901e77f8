"""A database and a data folder that a benchmark makes for itself, and removes at its end."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def own_database(name: str) -> Iterator[None]:
    """Sets Django up in it, so that pages can be asked for through its test client. On PostgreSQL
    (DATABASE_URL) the user must be allowed to make databases."""
    with tempfile.TemporaryDirectory(prefix=f"finetune-{name}-") as folder:
        os.environ["DATA_DIR"] = folder
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
        os.environ.setdefault("LOG_LEVEL", "ERROR")
        import django

        django.setup()
        from django.conf import settings
        from django.db import connection

        settings.STORAGES["staticfiles"]["BACKEND"] = (
            "django.contrib.staticfiles.storage.StaticFilesStorage"
        )
        settings.ALLOWED_HOSTS.append("testserver")
        database = connection.creation.create_test_db(verbosity=0, serialize=False)
        try:
            yield
        finally:
            connection.creation.destroy_test_db(database, verbosity=0)
