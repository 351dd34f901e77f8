"""When an evaluation's row goes, its job ends and its files go."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs import services as jobs


@receiver(post_delete, sender=Evaluation)
def remove(sender: type[Evaluation], instance: Evaluation, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=f"evaluations/{instance.pk}")
