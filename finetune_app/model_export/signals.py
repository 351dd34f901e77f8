"""Deletes the job and the files of an export together with its row."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.jobs import services as jobs
from finetune_app.model_export.models import ModelExport


@receiver(post_delete, sender=ModelExport)
def delete_job_and_files(sender: type[ModelExport], instance: ModelExport, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=instance.folder)
