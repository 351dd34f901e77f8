"""Deletes jobs and files with the goal's documents, after the commit."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Knowledge


@receiver(post_delete, sender=Knowledge)
def delete_jobs_and_files(sender: type, instance: Knowledge, **kwargs: Any) -> None:
    job_rows = Job.objects.filter(kind="index", spec__knowledge=instance.pk)
    for pk in [*job_rows.values_list("pk", flat=True)] or [0]:  # 0: the folder alone
        jobs.discard(pk, folder=instance.folder)
