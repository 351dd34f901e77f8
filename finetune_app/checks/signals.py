"""Checks a dataset after an edit, and deletes the files of its checks with the dataset."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.checks.services import check_after_edit
from finetune_app.core.files import delete_folder
from finetune_app.datasets.events import examples_changed
from finetune_app.datasets.models import Dataset
from finetune_app.jobs.models import Job
from finetune_app.jobs.services import cancel


@receiver(examples_changed)
def check_changed_dataset(sender: type, dataset: Dataset, **kwargs: Any) -> None:
    check_after_edit(dataset)


@receiver(post_delete, sender=Dataset)
def delete_check_files(sender: type, instance: Dataset, **kwargs: Any) -> None:
    folder, job_id = f"checks/{instance.pk}", instance.check_job_id

    def delete() -> None:
        job = Job.objects.filter(pk=job_id).first() if job_id else None
        if job and job.is_active:
            cancel(job)
        delete_folder(folder)

    transaction.on_commit(delete, robust=True)
