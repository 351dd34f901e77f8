"""How long an unfinished upload is kept."""

from datetime import timedelta

from django.utils import timezone

from finetune_app.imports.models import Upload

ABANDONED_AFTER = timedelta(hours=24)  # since its last chunk


def delete_abandoned_uploads() -> None:
    """Delete uploads that nobody resumed; signals.py deletes their files."""
    Upload.objects.filter(at__lt=timezone.now() - ABANDONED_AFTER).delete()
