"""What was agreed to, and a team's cap for a calendar month: what was started in it counts, deleted
or not."""

from datetime import datetime
from decimal import Decimal
from typing import TypeVar

from django.db.models import F, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.remote_training.models import SpendingCap, TrainingElsewhere

Account = TypeVar("Account", bound=SpendingCap)


class AnotherQuote(PlainError):
    """What it costs is not what was agreed to."""


def require_nothing_since(goal: Goal, after: int | None) -> None:
    """Whoever sends an old page again does not pay again. after: the number of the goal's last
    training when the page was shown; None of a caller that shows none. Raises AnotherQuote."""
    if after is not None and after < goal.last_training:
        raise AnotherQuote(
            _(
                "Training %(n)d was started since this page was opened. Agree again if you want "
                "another one."
            )
            % {"n": goal.last_training},
            status=422,
        )


def this_month() -> datetime:
    """When it began."""
    return timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def deleted_this_month(account: SpendingCap) -> Decimal:
    is_this = account.deleted_month == this_month().date()
    return account.deleted_cost if is_this else Decimal(0)


def counts(training: TrainingElsewhere) -> bool:
    """Whether it was started, or may have been, in this month."""
    return training.start_tried_at is not None and training.start_tried_at >= this_month()


def keep_deleted(accounts: "QuerySet[Account]", cost: Decimal) -> None:
    """The cost of a training of this month that is being deleted still counts. accounts: the one
    that pays."""
    month = this_month().date()
    same = accounts.filter(deleted_month=month)
    if not same.update(deleted_cost=F("deleted_cost") + cost):
        accounts.update(deleted_month=month, deleted_cost=cost)


def require_below_cap(account: SpendingCap, cost: Decimal, spent: Decimal, what_to_do: str) -> None:
    """Raises PlainError where `cost` is too much beside what is `spent` in this month."""
    cap = account.spending_cap
    if cap is not None and spent + cost > cap:
        costs = _(
            "This costs at most %(cost).2f, and %(spent).2f of %(cap).2f for this month are spent."
        ) % {"cost": cost, "spent": spent, "cap": cap}
        raise PlainError(f"{costs} {what_to_do}", title=_("Above the spending cap"))
