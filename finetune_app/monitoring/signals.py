"""Deletes the job of a deleted drift check, and the words of deleted texts; keeps what keys have
spent on a deleted deployment."""

from datetime import datetime
from typing import Any

from django.db.models.signals import post_delete, pre_delete
from django.dispatch import receiver

from finetune_app.deployment.models import Deployment
from finetune_app.jobs import services as jobs
from finetune_app.monitoring import costs
from finetune_app.monitoring.models import DriftCheck
from finetune_app.request_log.signals import texts_deleted


@receiver(post_delete, sender=DriftCheck)
def delete_job(sender: type[DriftCheck], instance: DriftCheck, **kwargs: Any) -> None:
    jobs.discard(instance.job_id, folder=f"drift/{instance.job_id}")


@receiver(texts_deleted)
def delete_words(sender: type, deployment_id: int, before: datetime | None, **kwargs: Any) -> None:
    """The words come from live prompts, so they are deleted with them; figures stay."""
    checks = DriftCheck.objects.filter(deployment=deployment_id)
    if before:
        checks = checks.filter(created_at__lte=before).exclude(new_words=[])
    checks.update(new_words=[], odd=[])


@receiver(pre_delete, sender=Deployment)
def keep_costs(sender: type[Deployment], instance: Deployment, **kwargs: Any) -> None:
    """Its requests are deleted with it, and a budget of money is for the whole month."""
    costs.keep_costs_of(instance)
