"""What a child needs before it uses a piece of a room that speaks or reads settings."""

import os


def setup_django() -> None:
    """No database is read: where a room's module imports models, their names are all it needs."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
    import django

    django.setup()
