"""When a training is deleted, its job is ended and its files are deleted."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.jobs import services as jobs
from finetune_app.training.models import Training


@receiver(post_delete, sender=Training)
def remove(sender: type[Training], instance: Training, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=instance.folder)
