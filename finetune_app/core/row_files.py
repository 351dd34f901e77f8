"""Deletes a row's files with the row. Apps call this in `AppConfig.ready()`."""

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import models, transaction
from django.db.models.signals import post_delete

from finetune_app.core.files import delete_folder

Row = TypeVar("Row", bound=models.Model)


def delete_folder_with(model: type[Row], folder: Callable[[Row], str]) -> None:
    """After the deletion of a row is committed, delete its `folder`, unless that is "".

    Robust: where a store is away for a moment, the folders of other rows are still deleted.
    """

    def delete(sender: type[Row], instance: Row, **kwargs: Any) -> None:
        if name := folder(instance):
            transaction.on_commit(lambda: delete_folder(name), robust=True)

    post_delete.connect(delete, sender=model, weak=False)
