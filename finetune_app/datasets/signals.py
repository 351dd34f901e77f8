"""Files go when their rows go, once that is certain."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_folder
from finetune_app.datasets.models import Dataset, Import, Upload, Version
from finetune_app.jobs.models import Job
from finetune_app.jobs.services import cancel


@receiver(post_delete, sender=Import)
def forget_upload(sender: type, instance: Import, **kwargs: Any) -> None:
    folder, job_id = instance.folder, instance.job_id

    def forget() -> None:
        job = Job.objects.filter(pk=job_id).first() if job_id else None
        if job and job.is_active:
            cancel(job)
        if folder.startswith("uploads/"):
            delete_folder(folder)

    transaction.on_commit(forget)


@receiver(post_delete, sender=Upload)
def forget_pieces(sender: type, instance: Upload, **kwargs: Any) -> None:
    """Unless all of them were here: then the file is an import's."""
    folder = f"uploads/{instance.pk.hex}"

    def forget() -> None:
        if not Import.objects.filter(stored_name__startswith=f"{folder}/").exists():
            delete_folder(folder)

    transaction.on_commit(forget)


@receiver(post_delete, sender=Version)
def forget_version(sender: type, instance: Version, **kwargs: Any) -> None:
    name = instance.stored_name
    transaction.on_commit(lambda: _delete(name))


@receiver(post_delete, sender=Dataset)
def forget_versions(sender: type, instance: Dataset, **kwargs: Any) -> None:
    versions, copies = f"versions/{instance.pk}", f"checks/{instance.pk}"
    job_id = instance.check_job_id

    def forget() -> None:
        job = Job.objects.filter(pk=job_id).first() if job_id else None
        if job and job.is_active:
            cancel(job)
        delete_folder(versions)
        delete_folder(copies)

    transaction.on_commit(forget)


def _delete(name: str) -> None:
    default_storage.delete(name)
    (Path(settings.DATA_DIR) / name).unlink(missing_ok=True)
