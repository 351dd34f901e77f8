"""Sets up Django in a child that uses modules with translations or settings."""

import os


def setup_django() -> None:
    """Call django.setup(). The child does not use the database."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "finetune_app.settings")
    import django

    django.setup()
