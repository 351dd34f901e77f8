"""What answering costs, from the prices a team entered.

There are two kinds of price, and either may be missing: per hour of this machine, for the time that
it worked on requests (concurrent requests share it), and per million tokens, read and written.
Without any price a cost is unknown, not zero.
"""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.utils import timezone

from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.currencies import CURRENCY_SIGNS
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring.timeseries import usage_by
from finetune_app.request_log.rollups import RecentRequests, Usage


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


def spent_by(
    key: ApiKey, now: datetime | None = None, recent: RecentRequests | None = None
) -> dict[str, float]:
    """Cost of a key's requests this month, by currency. Requests to deployments without a price are
    left out. recent: those of this month that are not rolled up, where they were read before."""
    since = start_of_month(now)
    recent = recent or RecentRequests.not_rolled_up(since)
    spent = dict(key.deleted_costs) if key.deleted_month == since.date() else {}
    for price, cost in _costs_of(key, since, recent).values():
        spent[price.currency] = spent.get(price.currency, 0.0) + cost
    return spent


def keep_costs_of(deployment: Deployment) -> None:
    """Add what keys have spent on a deployment, which is being deleted, to what they keep."""
    if not Price.of(deployment).is_set:
        return
    since = start_of_month()
    recent = RecentRequests.not_rolled_up(since)
    # A key of this deployment alone goes with it.
    for key in ApiKey.objects.select_for_update().filter(team=deployment.team_id, deployment=None):
        if found := _costs_of(key, since, recent).get(deployment.pk):
            price, cost = found
            kept = key.deleted_costs if key.deleted_month == since.date() else {}
            key.deleted_month = since.date()
            key.deleted_costs = kept | {price.currency: kept.get(price.currency, 0.0) + cost}
            key.save(update_fields=["deleted_month", "deleted_costs"])


def _costs_of(
    key: ApiKey, since: datetime, recent: RecentRequests
) -> dict[int, tuple[Price, float]]:
    """By deployment with a price: the price, and what the key's requests have cost."""
    usage = _usage_since(key, since, recent)
    found = {}
    for deployment in Deployment.objects.filter(pk__in=[pk for pk in usage if pk]):
        price = Price.of(deployment)
        cost = price.cost(usage[deployment.pk])
        if cost is not None:
            found[deployment.pk] = (price, cost)
    return found


def _usage_since(key: ApiKey, since: datetime, recent: RecentRequests) -> dict[int | None, Usage]:
    """Usage of a key by deployment: rolled-up hours, and the `recent` requests since then."""
    rows = key.hourly_usage.filter(at__gte=since, at__lt=recent.since)
    found: dict[int | None, Usage] = {}
    for deployment, usage in usage_by(rows, "deployment"):
        found.setdefault(deployment, Usage()).add(usage)
    for row, busy in recent.rows:
        if row.key == key.pk:
            found.setdefault(row.deployment, Usage()).count(row, busy)
    return found
