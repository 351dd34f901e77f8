"""Connect an account on a platform; start, stop and delete trainings there."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from cryptography.fernet import InvalidToken
from django.db import IntegrityError, transaction
from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import Team, User
from finetune_app.basemodels.automatic_settings import DPO, SUPERVISED
from finetune_app.basemodels.training_work import tokens_of
from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from finetune_app.jobs.models import ACTIVE, CAN_CONTINUE
from finetune_app.providers.services import MILLION, checked_address
from finetune_app.remote_training.models import (
    PlatformAccount,
    RemoteTraining,
    TrainingElsewhere,
)
from finetune_app.remote_training.platform_kinds import OPENAI
from finetune_app.remote_training.platforms import connect
from finetune_app.remote_training.platforms.contract import PlatformError
from finetune_app.remote_training.spending import (
    AnotherQuote,
    deleted_this_month,
    require_below_cap,
    require_nothing_since,
    this_month,
)
from finetune_app.remote_training.training_files import require_enough
from finetune_app.training.methods import require_method
from finetune_app.training.services import DEFAULT_SEED, require_version
from finetune_app.versions.models import Version

DEFAULT_EPOCHS = 3  # what OpenAI chooses for a few hundred examples
TOKENIZER_SPREAD = Decimal("1.3")  # its tokens are not ours


@dataclass(frozen=True)
class Quote:
    """Most tokens of a version that are read, and most that they cost; None where the price is not
    known."""

    version: int
    tokens: int
    cost: Decimal | None
    method: str = SUPERVISED

    @property
    def agreement(self) -> str:
        """What the form carries, to tell whether it is still what was shown."""
        return f"{self.version}, {self.method}, {self.tokens}, {self.cost}"


def connect_account(
    *,
    team: Team,
    user: User,
    name: str,
    url: str,
    key: str,
    platform: str = OPENAI,
    options: Mapping[str, str] | None = None,
    price: Decimal | None = None,
    spending_cap: Decimal | None = None,
) -> PlatformAccount:
    """Stored once a cheap call there has succeeded. Raises PlainError."""
    address, given = str(checked_address(url)), dict(options or {})
    try:
        connect(platform, address, key, given).check()
    except PlatformError as problem:
        raise PlainError(problem.message, status=422) from None
    try:
        with transaction.atomic():
            return PlatformAccount.objects.create(
                team=team,
                platform=platform,
                name=name.strip(),
                url=address,
                options=given,
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
    account, too. Raises PlainError where it is not accepted.

    Only what was changed is written: while the key is tried, a deleted training may add its cost.
    """
    changed = ["price", "price_of", "spending_cap"]
    if key:
        try:
            connect(account.platform, account.url, key, account.options).check()
        except PlatformError as problem:
            raise PlainError(problem.message, status=422) from None
        secret = encrypt(key)
        models = account.team.endpoints.filter(url=account.chat_url)
        same = [one.pk for one in models if _same_key(one.secret, account.secret)]
        models.filter(pk__in=same).update(secret=secret)
        account.secret = secret
        changed.append("secret")
    if price != account.price:
        account.price, account.price_of = price, timezone.localdate() if price else None
    account.spending_cap = spending_cap
    account.save(update_fields=changed)


def _same_key(one: str, other: str) -> bool:
    """Whether two encrypted keys are the same; one that cannot be read is not."""
    try:
        return one == other or bool(one and decrypt(one) == decrypt(other))
    except InvalidToken:
        return False


def delete_account(*, account: PlatformAccount) -> None:
    """Raises PlainError while trainings refer to it."""
    if account.trainings.exists():
        raise PlainError(
            _("Trainings were made with this account. Delete those first, or replace its key.")
        )
    account.delete()


def quote(
    account: PlatformAccount, version: Version, epochs: int, method: str = SUPERVISED
) -> Quote:
    """A pair is read with each of its answers; pairs are taken to be as long as other rows, and so
    are practice rows, which some platforms read in each pass, and bill."""
    rows, practice = (version.counts.get(split, 0) for split in ("train", "validation"))
    tokens = int(tokens_of(version) * epochs * TOKENIZER_SPREAD)
    tokens += tokens * practice // max(rows, 1)
    if method == DPO:
        tokens = 2 * tokens * version.pairs // max(rows, 1)
    price = account.price
    cost = None if price is None else (price * tokens / MILLION).quantize(Decimal("0.0001"))
    return Quote(version.number, tokens, cost, method)


def spent_this_month(account: PlatformAccount, besides: RemoteTraining | None = None) -> Decimal:
    """What the trainings of this month cost at most, those included that are about to start, and
    those that were deleted since. One that was started without a price counts at today's."""
    about_to_start = Q(start_tried_at=None, job__state__in=ACTIVE)
    started = account.trainings.filter(about_to_start | Q(start_tried_at__gte=this_month()))
    if besides:
        started = started.exclude(pk=besides.pk)
    spent: Decimal = started.aggregate(all=Sum("expected_cost"))["all"] or Decimal(0)
    unpriced = started.filter(expected_cost=None).aggregate(all=Sum("expected_tokens"))["all"]
    spent += (account.price or Decimal(0)) * (unpriced or 0) / MILLION
    return spent + deleted_this_month(account)


def cost_of(training: RemoteTraining) -> Decimal:
    """At most; of one that was started without a price, at today's."""
    if training.expected_cost is not None:
        return training.expected_cost
    return (training.account.price or Decimal(0)) * training.expected_tokens / MILLION


@transaction.atomic
def start(
    *,
    goal: Goal,
    account: PlatformAccount,
    user: User | None,
    model: str,
    epochs: int = DEFAULT_EPOCHS,
    method: str = SUPERVISED,
    agreed: str | None = None,
    after: int | None = None,
) -> RemoteTraining:
    """Write what is to be trained, and queue the job that has it done.

    While a training of the goal is active there, returns that one. agreed: the agreement of the
    quote that was shown, after: the number of the goal's last training then. Raises PlainError.
    """
    goal = Goal.objects.lock(goal.pk)
    active = goal.remote_trainings.filter(account=account, job__state__in=ACTIVE).first()
    if active:
        return active
    version = require_version(goal)
    require_possible(account, version, method)
    account = PlatformAccount.objects.select_for_update().get(pk=account.pk)
    expected = quote(account, version, epochs, method)
    if agreed is not None and agreed != expected.agreement:
        raise AnotherQuote(
            _("What is sent or what it costs has changed. Read it again, then agree to that."),
            status=422,
        )
    require_nothing_since(goal, after)
    require_affordable(account, expected.cost)
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


def require_possible(account: PlatformAccount, version: Version, method: str) -> None:
    """Raises PlainError where the platform does not train in this way, or not on so few rows."""
    if method not in account.kind.methods:
        raise PlainError(_("%(name)s does not train in this way.") % {"name": account.name})
    require_method(method, version)
    require_enough(version, method, account.kind.least_rows)


def require_affordable(
    account: PlatformAccount, cost: Decimal | None, training: RemoteTraining | None = None
) -> None:
    """Raises PlainError where the account's spending cap does not allow it. training: the one that
    is to cost this, where there is one already."""
    if account.spending_cap is None:
        return
    if cost is None:
        raise PlainError(
            _(
                "%(name)s has a spending cap and no price. Enter the price of a million tokens "
                "first."
            )
            % {"name": account.name}
        )
    what_to_do = _("Take fewer passes or examples, or ask an owner for a higher cap.")
    require_below_cap(account, cost, spent_this_month(account, training), what_to_do)


def stop(*, training: TrainingElsewhere) -> None:
    """Have it cancelled there."""
    jobs.ask_stop(training.job)


@transaction.atomic
def resume(*, training: RemoteTraining) -> None:
    """Go on where it was interrupted. Raises PlainError where it was not, and where it would start
    beside another one, above the cap or at another price."""
    Goal.objects.lock(training.goal_id)
    if training.job.state not in CAN_CONTINUE:
        raise PlainError(_("This training is not stopped, so there is nothing to continue."))
    if not training.remote_id:
        require_no_other(training)
    if training.start_tried_at is None:
        account = PlatformAccount.objects.select_for_update().get(pk=training.account_id)
        expected = quote(
            account,
            training.version,
            int(training.spec["hyperparameters"]["n_epochs"]),
            training.spec["method"],
        )
        if expected.cost != training.expected_cost:
            raise PlainError(_("Its price has changed since it was agreed to. Start another."))
        require_affordable(account, expected.cost, training)
    RemoteTraining.objects.filter(pk=training.pk).update(cancel_tried_at=None)
    jobs.ask_continue(training.job)


def require_no_other(training: RemoteTraining) -> None:
    """Nobody pays two at once. Raises PlainError."""
    active = training.goal.remote_trainings.filter(
        account=training.account_id, job__state__in=ACTIVE
    )
    if other := active.exclude(pk=training.pk).first():
        raise PlainError(
            _("Training %(n)d of this goal runs there. Wait until it is over, or cancel it.")
            % {"n": other.number},
            status=409,
        )


@transaction.atomic
def delete(*, training: TrainingElsewhere, though_it_may_run: bool = False) -> None:
    """though_it_may_run: whoever deletes it was told that it may still run there, and cost.

    Raises PlainError while it runs there, and without that word where it may (signals).
    """
    training.is_given_up = though_it_may_run
    training.delete()
