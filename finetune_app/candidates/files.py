"""Deletes the job and the files of a suggestion run together with the run."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.candidates.models import SuggestionRun
from finetune_app.jobs import services as jobs


@receiver(post_delete, sender=SuggestionRun)
def remove(sender: type[SuggestionRun], instance: SuggestionRun, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=f"suggestions/{instance.pk}")
