"""What belongs to a row goes when the row goes, once that is certain: an uploaded file, the job of
a comparison."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_folder
from finetune_app.deployment.models import ApiFile, Drift
from finetune_app.jobs import services as jobs


@receiver(post_delete, sender=ApiFile)
def forget_upload(sender: type, instance: ApiFile, **kwargs: Any) -> None:
    folder = instance.kept_as.rpartition("/")[0]
    if folder.startswith("api-files/"):
        transaction.on_commit(lambda: delete_folder(folder))


@receiver(post_delete, sender=Drift)
def forget_job(sender: type, instance: Drift, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=f"drift/{instance.job_id}")
