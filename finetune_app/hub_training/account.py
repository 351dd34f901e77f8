"""What a team lets Hugging Face Jobs have: a cap for the month, and a token for the containers."""

from decimal import Decimal
from typing import Any

from cryptography.fernet import InvalidToken
from django.db.models import Q
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team
from finetune_app.basemodels import hub
from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.errors import PlainError
from finetune_app.hub_training.models import HubJobsAccount, HubTraining
from finetune_app.jobs.models import ACTIVE
from finetune_app.remote_training import spending


def account_of(team: Team) -> HubJobsAccount:
    """Not saved where the team has changed nothing yet."""
    found = HubJobsAccount.objects.filter(team=team).first()
    return found or HubJobsAccount(team=team)


def change_account(
    *, team: Team, spending_cap: Decimal | None, token: str = "", forget_token: bool = False
) -> None:
    """An empty token keeps the stored one. Raises PlainError where the hub does not accept it, or
    it may only read."""
    fields: dict[str, Any] = {"spending_cap": spending_cap}
    if token:
        if hub.whoami(token).role == "read":
            raise PlainError(_("This token may only read. A job has to write its result."))
        fields["secret"] = encrypt(token)
    elif forget_token:
        fields["secret"] = ""
    HubJobsAccount.objects.update_or_create(team=team, defaults=fields)


def container_token(team: Team) -> str:
    """The decrypted token of the team for containers; "" for the team's token of the hub.

    Raises PlainError where it cannot be decrypted any more.
    """
    secret = account_of(team).secret
    try:
        return decrypt(secret) if secret else ""
    except InvalidToken:
        raise PlainError(
            _("The token for jobs cannot be read any more. Ask an owner to enter it again.")
        ) from None


def spent_this_month(account: HubJobsAccount, besides: HubTraining | None = None) -> Decimal:
    """What the trainings of this month cost, those included that are about to start, and those that
    were deleted since. Each counts with the most it may cost until it is over."""
    about_to_start = Q(start_tried_at=None, job__state__in=ACTIVE)
    started = Q(start_tried_at__gte=spending.this_month())
    trainings = HubTraining.objects.filter(about_to_start | started, goal__team=account.team_id)
    if besides:
        trainings = trainings.exclude(pk=besides.pk)
    counted = trainings.only("stage", "seconds", "timeout_seconds", "price", "expected_cost")
    return sum((one.cost for one in counted), spending.deleted_this_month(account))


def require_affordable(team: Team, cost: Decimal, training: HubTraining | None = None) -> None:
    """Raises PlainError where the team's cap does not allow it. To be called in the transaction
    that starts it: the account stays locked until then, so that no two pass together. training: the
    one that is to cost this, where there is one already."""
    account, _new = HubJobsAccount.objects.select_for_update().get_or_create(team=team)
    what_to_do = _("Take fewer hours or a cheaper machine, or ask an owner for a higher cap.")
    spending.require_below_cap(account, cost, spent_this_month(account, training), what_to_do)


def keep_cost(sender: type[HubTraining], instance: HubTraining, **kwargs: Any) -> None:
    """Called before a training is deleted."""
    if spending.counts(instance):
        account, _new = HubJobsAccount.objects.get_or_create(team=instance.goal.team)
        spending.keep_deleted(HubJobsAccount.objects.filter(pk=account.pk), instance.cost)
