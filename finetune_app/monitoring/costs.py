"""What answering costs, from the prices a team entered.

There are two kinds of price, and either may be missing: per hour of this machine, for the time that
it worked on requests (concurrent requests share it), and per million tokens, read and written.
Without any price a cost is unknown, not zero.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.currencies import CURRENCY_SIGNS
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring.timeseries import usage_by
from finetune_app.request_log import rollups
from finetune_app.request_log.models import HourlyUsage
from finetune_app.request_log.rollups import Usage


@dataclass(frozen=True)
class Price:
    """Prices of a deployment; None where none was entered."""

    currency: str
    hour: Decimal | None
    read: Decimal | None  # per million tokens
    written: Decimal | None

    @classmethod
    def of(cls, deployment: Deployment) -> "Price":
        return cls(
            deployment.currency,
            deployment.hour_price,
            deployment.read_price,
            deployment.written_price,
        )

    @property
    def is_set(self) -> bool:
        return any(price is not None for price in (self.hour, self.read, self.written))

    def cost(self, usage: Usage) -> float | None:
        """None if no price is set."""
        if not self.is_set:
            return None
        parts = (
            (self.hour, usage.busy_seconds / 3600),
            (self.read, usage.prompt_tokens / 1e6),
            (self.written, usage.tokens / 1e6),
        )
        return sum(float(price) * amount for price, amount in parts if price is not None)

    def cost_text(self, usage: Usage) -> str:
        return self.format(self.cost(usage))

    def format(self, amount: float | None) -> str:
        return format_money(amount, self.currency)


def format_money(amount: float | None, currency: str) -> str:
    """€0.41, or €0.0008 where two decimals would show nothing; "" for None."""
    if amount is None:
        return ""
    places = 2 if amount >= 0.01 or amount == 0 else 4
    if 0 < amount < 0.0001:
        return f"< {CURRENCY_SIGNS.get(currency, currency)}0.0001"
    return f"{CURRENCY_SIGNS.get(currency, f'{currency} ')}{amount:,.{places}f}"


def set_price(
    *,
    deployment: Deployment,
    currency: str,
    hour: Decimal | None,
    read: Decimal | None,
    written: Decimal | None,
) -> None:
    Deployment.objects.filter(pk=deployment.pk).update(
        currency=currency, hour_price=hour, read_price=read, written_price=written
    )


def start_of_month(now: datetime | None = None) -> datetime:
    """The first of the month, midnight UTC."""
    return (now or timezone.now()).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def usage_by_deployment(team_id: int, since: datetime) -> dict[int | None, Usage]:
    """Usage of each deployment of a team; None: base models called directly."""
    return _usage_since(HourlyUsage.objects.filter(team=team_id), "team", team_id, since)


def spent_by(key: ApiKey, now: datetime | None = None) -> dict[str, float]:
    """Cost of a key's requests this month, by currency. Requests to deployments without a price are
    left out."""
    usage = _usage_since(key.hourly_usage.all(), "key", key.pk, start_of_month(now))
    spent: dict[str, float] = {}
    for deployment in Deployment.objects.filter(pk__in=[pk for pk in usage if pk]):
        price = Price.of(deployment)
        cost = price.cost(usage[deployment.pk])
        if cost is not None:
            spent[price.currency] = spent.get(price.currency, 0.0) + cost
    return spent


# ---- Budgets of keys ----

BUDGET_CACHE_SECONDS = 30.0  # in which a key may exceed its budget
MAX_CACHED_KEYS = 1000
_spent_cache: dict[int, tuple[float, float]] = {}  # by key: (valid until, amount spent)


@dataclass(frozen=True)
class Spent:
    """What a key has spent of its budget, in words, and whether the budget is used up."""

    words: str
    over: bool


def is_over_budget(key: ApiKey) -> bool:
    """Whether this month's requests have used up the key's budget. Cached per process for
    BUDGET_CACHE_SECONDS; requests without a price cost nothing."""
    if key.cost_per_month is None:
        return False
    until, spent = _spent_cache.get(key.pk, (0.0, 0.0))
    if time.monotonic() >= until:
        if len(_spent_cache) > MAX_CACHED_KEYS:
            _spent_cache.clear()
        spent = spent_by(key).get(key.currency, 0.0)
        _spent_cache[key.pk] = (time.monotonic() + BUDGET_CACHE_SECONDS, spent)
    return spent >= float(key.cost_per_month)


def budget(key: ApiKey) -> str:
    """The key's monthly budget, such as €20.00; "" without one."""
    amount = None if key.cost_per_month is None else float(key.cost_per_month)
    return format_money(amount, key.currency)


def spent_of(keys: Iterable[ApiKey]) -> dict[int, Spent]:
    """By primary key, for the keys that have a budget."""
    found = {}
    for key in keys:
        if key.cost_per_month is not None:
            spent = spent_by(key).get(key.currency, 0.0)
            words = (
                _("%(spent)s of %(most)s")
                if _has_price(key)
                else _("at most %(most)s, but no price is set")
            )
            words %= {"spent": format_money(spent, key.currency), "most": budget(key)}
            found[key.pk] = Spent(words, spent >= float(key.cost_per_month))
    return found


def _has_price(key: ApiKey) -> bool:
    """Whether any deployment that the key can use has a price in the currency of its budget."""
    found = Deployment.objects.filter(team=key.team_id, currency=key.currency)
    if key.deployment_id:
        found = found.filter(pk=key.deployment_id)
    return any(Price.of(deployment).is_set for deployment in found)


def _usage_since(
    hourly: "QuerySet[HourlyUsage]", name: str, pk: int, since: datetime
) -> dict[int | None, Usage]:
    """Usage by deployment of the requests whose field `name` is `pk`: rolled-up hours, and requests
    since then."""
    until = rollups.rolled_up_until()
    found: dict[int | None, Usage] = {}
    for deployment, usage in usage_by(hourly.filter(at__gte=since, at__lt=until), "deployment"):
        found.setdefault(deployment, Usage()).add(usage)
    rows = rollups.requests_since(max(since, until))
    for row, busy in zip(rows, rollups.busy_seconds(rows), strict=True):
        if getattr(row, name) == pk:
            found.setdefault(row.deployment, Usage()).add(rollups.usage_of(row, busy))
    return found
