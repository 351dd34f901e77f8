"""When an export's row goes, its job ends and its files go."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.exports.models import Export
from finetune_app.jobs import services as jobs


@receiver(post_delete, sender=Export)
def remove(sender: type[Export], instance: Export, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=instance.folder)
