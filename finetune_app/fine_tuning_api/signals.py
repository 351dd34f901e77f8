"""Deletes an uploaded file together with its row."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.core.files import delete_folder
from finetune_app.fine_tuning_api.models import ApiFile


@receiver(post_delete, sender=ApiFile)
def delete_upload(sender: type, instance: ApiFile, **kwargs: Any) -> None:
    folder = instance.storage_path.rpartition("/")[0]
    if folder.startswith("api-files/"):
        transaction.on_commit(lambda: delete_folder(folder))
