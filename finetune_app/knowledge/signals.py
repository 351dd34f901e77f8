"""Files and jobs go when their rows go, once that is certain."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import Job
from finetune_app.knowledge.models import Knowledge


@receiver(post_delete, sender=Knowledge)
def forget(sender: type, instance: Knowledge, **kwargs: Any) -> None:
    mine = Job.objects.filter(kind="index", spec__knowledge=instance.pk)
    for pk in [*mine.values_list("pk", flat=True)] or [0]:
        jobs.discard(pk, folder=instance.folder)
