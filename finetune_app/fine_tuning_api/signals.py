"""Writes the result file of a job that succeeds; deletes files together with their rows."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_folder
from finetune_app.fine_tuning_api.models import ApiFile, FineTuningJob
from finetune_app.fine_tuning_api.result_file import write_result_file
from finetune_app.training.events import training_succeeded
from finetune_app.training.models import Training


@receiver(training_succeeded, sender=Training)
def write_results(sender: type, training: Training, **kwargs: Any) -> None:
    """In the transaction in which the job succeeds: a program that sees its success finds the
    file."""
    job = FineTuningJob.objects.filter(training=training, result_file=None).first()
    if job:
        write_result_file(job)


@receiver(post_delete, sender=FineTuningJob)
def delete_results(sender: type, instance: FineTuningJob, **kwargs: Any) -> None:
    if instance.result_file_id:
        ApiFile.objects.filter(pk=instance.result_file_id).delete()


@receiver(post_delete, sender=ApiFile)
def delete_upload(sender: type, instance: ApiFile, **kwargs: Any) -> None:
    folder = instance.storage_path.rpartition("/")[0]
    if folder.startswith("api-files/"):
        transaction.on_commit(lambda: delete_folder(folder), robust=True)
