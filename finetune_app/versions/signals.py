"""Deletes the files of versions together with their rows."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_file, delete_folder
from finetune_app.datasets.models import Dataset
from finetune_app.versions.models import Version


@receiver(post_delete, sender=Version)
def delete_version_file(sender: type, instance: Version, **kwargs: Any) -> None:
    name = instance.stored_name
    transaction.on_commit(lambda: delete_file(name), robust=True)


@receiver(post_delete, sender=Dataset)
def delete_version_folder(sender: type, instance: Dataset, **kwargs: Any) -> None:
    folder = f"versions/{instance.pk}"
    transaction.on_commit(lambda: delete_folder(folder), robust=True)
