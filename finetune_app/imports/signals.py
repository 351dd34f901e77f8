"""Deletes the files of an import or upload once the deletion of its row is committed."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_folder
from finetune_app.datasets.models import Import
from finetune_app.imports.models import Upload
from finetune_app.jobs.models import Job
from finetune_app.jobs.services import cancel


@receiver(post_delete, sender=Import)
def delete_import_files(sender: type, instance: Import, **kwargs: Any) -> None:
    folder, job_id = instance.folder, instance.job_id

    def delete() -> None:
        job = Job.objects.filter(pk=job_id).first() if job_id else None
        if job and job.is_active:
            cancel(job)
        if folder.startswith("uploads/"):
            delete_folder(folder)

    transaction.on_commit(delete, robust=True)


@receiver(post_delete, sender=Upload)
def delete_chunks(sender: type, instance: Upload, **kwargs: Any) -> None:
    """The chunks of an unfinished upload. A finished upload's file belongs to its import."""
    folder = f"uploads/{instance.pk.hex}"

    def delete() -> None:
        if not Import.objects.filter(stored_name__startswith=f"{folder}/").exists():
            delete_folder(folder)

    transaction.on_commit(delete, robust=True)
