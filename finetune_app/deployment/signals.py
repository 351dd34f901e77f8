"""Deletes the job of a drift comparison together with its row."""

from typing import Any

from django.db.models.signals import post_delete
from django.dispatch import receiver

from finetune_app.deployment.models import Drift
from finetune_app.jobs import services as jobs


@receiver(post_delete, sender=Drift)
def forget_job(sender: type, instance: Drift, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=f"drift/{instance.job_id}")
