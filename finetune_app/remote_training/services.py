"""Connect an account on a platform; start, stop and delete trainings there."""

from dataclasses import dataclass
from decimal import Decimal

from django.db import IntegrityError, transaction
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels.automatic_settings import SUPERVISED
from finetune_app.basemodels.training_work import tokens_of
from finetune_app.core.encryption import encrypt
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.providers.services import MILLION, checked_address
from finetune_app.remote_training.models import PlatformAccount, RemoteTraining
from finetune_app.remote_training.platforms import connect
from finetune_app.remote_training.platforms.contract import PlatformError
from finetune_app.remote_training.training_files import require_enough
from finetune_app.training.services import DEFAULT_SEED, NOTHING_TO_LEARN, newest_version
from finetune_app.versions.models import Version

DEFAULT_EPOCHS = 3  # what OpenAI chooses for a few hundred examples
TOKENIZER_SPREAD = Decimal("1.3")  # its tokens are not ours


class AnotherQuote(PlainError):
    """What it costs is not what was agreed to."""


@dataclass(frozen=True)
class Quote:
    """Most tokens that are read, and most that they cost; None where the price is not known."""

    tokens: int
    cost: Decimal | None


def connect_account(
    *,
    team: Team,
    user: User,
    name: str,
    url: str,
    key: str,
    price: Decimal | None = None,
    spending_cap: Decimal | None = None,
) -> PlatformAccount:
    """Stored once a cheap call there has succeeded. Raises PlainError."""
    address = str(checked_address(url))
    try:
        connect(address, key).check()
    except PlatformError as problem:
        raise PlainError(problem.message, status=422) from None
    try:
        with transaction.atomic():
            return PlatformAccount.objects.create(
                team=team,
                name=name.strip(),
                url=address,
                secret=encrypt(key),
                price=price,
                price_of=timezone.localdate() if price is not None else None,
                spending_cap=spending_cap,
                added_by=user,
            )
    except IntegrityError:
        raise PlainError(
            _("The team has an account called “%(name)s” already.") % {"name": name}, status=422
        ) from None


def change_account(
    *,
    account: PlatformAccount,
    key: str = "",
    price: Decimal | None,
    spending_cap: Decimal | None,
) -> None:
    """An empty key keeps the stored one. A new one is that of the models that were trained with the
    account, too. Raises PlainError where it is not accepted."""
    if key:
        try:
            connect(account.url, key).check()
        except PlatformError as problem:
            raise PlainError(problem.message, status=422) from None
        secret = encrypt(key)
        account.team.endpoints.filter(url=account.url, secret=account.secret).update(secret=secret)
        account.secret = secret
    if price != account.price:
        account.price, account.price_of = price, timezone.localdate() if price else None
    account.spending_cap = spending_cap
    account.save()


def delete_account(*, account: PlatformAccount) -> None:
    """Raises PlainError while trainings refer to it."""
    if account.trainings.exists():
        raise PlainError(
            _("Trainings were made with this account. Delete those first, or replace its key.")
        )
    account.delete()


def quote(account: PlatformAccount, version: Version, epochs: int) -> Quote:
    tokens = int(tokens_of(version) * epochs * TOKENIZER_SPREAD)
    cost = None if account.price is None else account.price * tokens / MILLION
    return Quote(tokens, cost)


def spent_this_month(account: PlatformAccount) -> Decimal:
    """What the trainings of this month cost at most, those included that are about to start."""
    since = timezone.localtime().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    counts = Q(start_tried_at__isnull=False) | Q(job__state__in=ACTIVE)
    started = account.trainings.filter(counts, created_at__gte=since)
    return started.aggregate(all=Sum("expected_cost"))["all"] or Decimal(0)


@transaction.atomic
def start(
    *,
    goal: Goal,
    account: PlatformAccount,
    user: User | None,
    model: str,
    epochs: int = DEFAULT_EPOCHS,
    method: str = SUPERVISED,
    agreed_tokens: int | None = None,
) -> RemoteTraining:
    """Write what is to be trained, and queue the job that has it done.

    While a training of the goal is active there, returns that one. agreed_tokens: as they were
    shown to who agreed. Raises PlainError.
    """
    goal = Goal.objects.lock(goal.pk)
    active = goal.remote_trainings.filter(account=account, job__state__in=ACTIVE).first()
    if active:
        return active
    version = require_version(goal)
    require_enough(version, method)
    account = PlatformAccount.objects.select_for_update().get(pk=account.pk)
    expected = quote(account, version, epochs)
    if agreed_tokens is not None and agreed_tokens != expected.tokens:
        raise AnotherQuote(
            _("What is sent or what it costs has changed. Read it again, then agree to that."),
            status=422,
        )
    require_affordable(account, expected)
    number = goal.last_training + 1
    Goal.objects.filter(pk=goal.pk).update(last_training=number)
    job = jobs.create(
        team=goal.team,
        kind="remote_train",
        title=_("Training %(n)d of “%(goal)s”") % {"n": number, "goal": goal.name[:60]},
        spec={},
    )
    return RemoteTraining.objects.create(
        goal=goal,
        number=number,
        version=version,
        account=account,
        job=job,
        spec={
            "model": model.strip(),
            "method": method,
            "hyperparameters": {"n_epochs": epochs},
            "seed": DEFAULT_SEED,
            "version_sha256": version.sha256,
        },
        expected_tokens=expected.tokens,
        expected_cost=expected.cost,
        agreed_by=user,
    )


def require_version(goal: Goal) -> Version:
    """The newest version. Raises PlainError where there is nothing to learn from."""
    version = newest_version(goal)
    if version is None:
        raise PlainError(
            _("Freeze a version of the dataset first; training reads only that."),
            title=_("Nothing to learn from yet"),
        )
    if not version.counts.get("train"):
        raise PlainError(
            NOTHING_TO_LEARN % {"v": version.number}, title=_("Nothing to learn from yet")
        )
    return version


def require_affordable(account: PlatformAccount, expected: Quote) -> None:
    """Raises PlainError where the account's spending cap does not allow it."""
    cap = account.spending_cap
    if cap is None:
        return
    if expected.cost is None:
        raise PlainError(
            _(
                "%(name)s has a spending cap and no price. Enter the price of a million tokens "
                "first."
            )
            % {"name": account.name}
        )
    spent = spent_this_month(account)
    if spent + expected.cost > cap:
        raise PlainError(
            _(
                "This costs at most %(cost).2f, and %(spent).2f of %(cap).2f for this month are "
                "spent. Take fewer passes or examples, or ask an owner for a higher cap."
            )
            % {"cost": expected.cost, "spent": spent, "cap": cap},
            title=_("Above the spending cap"),
        )


def stop(*, training: RemoteTraining) -> None:
    """Have it cancelled there."""
    jobs.ask_stop(training.job)


def resume(*, training: RemoteTraining) -> None:
    """Go on where it was interrupted. Raises PlainError where it was not."""
    if training.job.state not in CAN_CONTINUE:
        raise PlainError(_("This training is not stopped, so there is nothing to continue."))
    jobs.ask_continue(training.job)


def delete(*, training: RemoteTraining) -> None:
    """Raises PlainError while it runs there (models.RemoteTraining)."""
    training.delete()
