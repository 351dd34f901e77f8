"""Files go when their rows go, once that is certain."""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.files.storage import default_storage
from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_folder
from finetune_app.datasets.models import Dataset, Version
from finetune_app.jobs.models import Job
from finetune_app.jobs.services import cancel


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
