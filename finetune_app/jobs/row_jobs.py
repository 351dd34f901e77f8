"""Ends a row's job and deletes its files with the row. Rooms call this in `AppConfig.ready()`."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import models
from django.db.models.signals import post_delete

from finetune_app.jobs import services

RowWithJob = TypeVar("RowWithJob", bound=models.Model)


def delete_job_with(model: type[RowWithJob], folder: Callable[[RowWithJob], str]) -> None:
    """After the deletion of a row is committed, delete its job (`job_id`) and its `folder`."""

    def delete(sender: type[RowWithJob], instance: RowWithJob, **kwargs: Any) -> None:
        services.discard(instance.job_id, folder=folder(instance))  # type: ignore[attr-defined]

    post_delete.connect(delete, sender=model, weak=False)
