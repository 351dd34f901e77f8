"""Periodic tasks of the import from OpenAI."""

from django.utils import timezone

from finetune_app.jobs.periodic_tasks import PeriodicTask
from finetune_app.openai_import.models import OpenAIImport
from finetune_app.openai_import.services import LIFETIME


def delete_unfinished() -> None:
    """Delete imports that nobody made a goal of in time; their files expire by themselves."""
    OpenAIImport.objects.filter(goal=None, created_at__lt=timezone.now() - LIFETIME).delete()


TASKS = (PeriodicTask(delete_unfinished, every_seconds=3600),)
