"""Keeps what a live candidate is made of from being deleted under it."""

from typing import Any

from django.db.models import Model, QuerySet
from django.db.models.signals import pre_delete
from django.dispatch import receiver
from django.utils.translation import gettext as _

from finetune_app.candidates.models import Candidate
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Release
from finetune_app.providers.models import Endpoint
from finetune_app.training.models import Training

PARTS = (Candidate, Endpoint, Training)


@receiver(pre_delete, sender=Release)
def keep_live_release(
    sender: type[Release], instance: Release, origin: "Model | QuerySet[Any]", **kwargs: Any
) -> None:
    """Raises PlainError if a part of its candidate is deleted while it answers. A goal or a team
    may be deleted with all that is live."""
    deleted = origin.model if isinstance(origin, QuerySet) else type(origin)
    if not issubclass(deleted, PARTS):
        return
    deployment = instance.deployment
    if instance in deployment.current_and_canary():
        raise PlainError(
            _("It is live under %(name)s. Let another one answer first.")
            % {"name": deployment.name},
            status=409,
            title=_("It is live"),
        )
