"""When a base model's row goes, its files go; when an install goes, its job ends."""

from typing import Any

from django.db import transaction
from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.basemodels.models import BaseModel, Install
from finetune_app.core.files import delete_folder
from finetune_app.jobs import services as jobs


@receiver(post_delete, sender=BaseModel)
def remove_model(sender: type[BaseModel], instance: BaseModel, **kwargs: Any) -> None:
    folder = instance.folder
    transaction.on_commit(lambda: delete_folder(folder))


@receiver(post_delete, sender=Install)
def remove_install(sender: type[Install], instance: Install, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=instance.folder)
