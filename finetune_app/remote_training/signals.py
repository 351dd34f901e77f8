"""A training that runs elsewhere is not deleted, nor what it belongs to: it would go on there. What
one has cost is not forgotten with it."""

from typing import Any

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.remote_training import services
from finetune_app.remote_training.models import RemoteTraining


def keep_what_runs(sender: type[RemoteTraining], instance: RemoteTraining, **kwargs: Any) -> None:
    """Raises PlainError, whichever deletion reaches it."""
    if instance.job.is_active:
        raise PlainError(
            _("Training %(n)d of “%(goal)s” still runs on %(account)s. Cancel it first.")
            % {"n": instance.number, "goal": instance.goal.name, "account": instance.account},
            title=_("It runs elsewhere"),
        )


def keep_cost(sender: type[RemoteTraining], instance: RemoteTraining, **kwargs: Any) -> None:
    services.keep_cost_of(instance)
