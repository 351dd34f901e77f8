"""A training that runs elsewhere is not deleted, nor what it belongs to: it would go on there. What
one has cost is not forgotten with it."""

from typing import Any

from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.remote_training import services, spending
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining, TrainingElsewhere


def keep_what_runs(
    sender: type[TrainingElsewhere], instance: TrainingElsewhere, **kwargs: Any
) -> None:
    """Raises PlainError, whichever deletion reaches it."""
    names = {"n": instance.number, "goal": instance.goal.name, "place": instance.place}
    if instance.job.is_active:
        raise PlainError(
            _("Training %(n)d of “%(goal)s” still runs on %(place)s. Cancel it first.") % names,
            title=_("It runs elsewhere"),
        )
    if instance.may_run_there and not instance.is_given_up:
        raise PlainError(
            _(
                "Training %(n)d of “%(goal)s” may still run on %(place)s, and cost: its end was "
                "never seen. Continue it to look, or delete it on its own page first."
            )
            % names,
            title=_("It may run elsewhere"),
        )


def keep_cost(sender: type[RemoteTraining], instance: RemoteTraining, **kwargs: Any) -> None:
    if spending.counts(instance):
        accounts = PlatformAccount.objects.filter(pk=instance.account_id)
        spending.keep_deleted(accounts, services.cost_of(instance))
