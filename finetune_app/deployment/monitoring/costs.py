"""What answering costs, as far as somebody said what it costs.

Two prices, and either may be missing: of an hour of the machine, for the time it worked on these
requests (those that ran at the same time share it), and of a million tokens, read and written. With
neither, a cost is not known, which is never the same as nothing.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import QuerySet
from django.db.models import Sum as Total
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.currencies import CURRENCY_SIGNS
from finetune_app.deployment.models import Deployment, Hour
from finetune_app.deployment.monitoring import hours
from finetune_app.deployment.monitoring.hours import Sum
from finetune_app.deployment.monitoring.picture import COUNTS


@dataclass(frozen=True)
class Price:
    currency: str
    hour: Decimal | None
    read: Decimal | None  # of a million tokens
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

    def cost(self, one: Sum) -> float | None:
        """None when nobody said what it costs."""
        if not self.is_set:
            return None
        parts = (
            (self.hour, one.busy / 3600),
            (self.read, one.prompt_tokens / 1e6),
            (self.written, one.tokens / 1e6),
        )
        return sum(float(price) * amount for price, amount in parts if price is not None)

    def say(self, amount: float | None) -> str:
        return money(amount, self.currency)


def money(amount: float | None, currency: str) -> str:
    """€0.41, or €0.0008 where two places would say nothing; "" when it is not known."""
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


def month_began(now: datetime | None = None) -> datetime:
    """In UTC, for everybody."""
    return (now or timezone.now()).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def by_deployment(team_id: int, since: datetime) -> dict[int | None, Sum]:
    """What each deployment of a team came to since then; None: base models asked directly."""
    return _gathered(Hour.objects.filter(team=team_id), "team", team_id, since)


def spent_by(key: ApiKey, now: datetime | None = None) -> dict[str, float]:
    """What this key's requests of this month cost, by currency. Those of a deployment without a
    price are not in it."""
    found = _gathered(key.hours.all(), "key", key.pk, month_began(now))
    spent: dict[str, float] = {}
    for deployment in Deployment.objects.filter(pk__in=[pk for pk in found if pk]):
        price = Price.of(deployment)
        cost = price.cost(found[deployment.pk])
        if cost is not None:
            spent[price.currency] = spent.get(price.currency, 0.0) + cost
    return spent


# ---- Budgets of keys ----

KNOWN_FOR = 30.0  # seconds; a key may go over by what it costs meanwhile
_known: dict[int, tuple[float, float]] = {}  # by key: until when, and what it had spent


@dataclass(frozen=True)
class Spent:
    """What a key has spent of its budget, in words, and whether that is all of it."""

    words: str
    over: bool


def is_spent(key: ApiKey) -> bool:
    """Whether this month's requests have cost all that the key may cost. Each process looks every
    half minute; what has no price costs nothing here."""
    if key.cost_per_month is None:
        return False
    until, spent = _known.get(key.pk, (0.0, 0.0))
    if time.monotonic() >= until:
        if len(_known) > 1000:
            _known.clear()
        spent = spent_by(key).get(key.currency, 0.0)
        _known[key.pk] = (time.monotonic() + KNOWN_FOR, spent)
    return spent >= float(key.cost_per_month)


def budget(key: ApiKey) -> str:
    """€20.00; "" without one."""
    return money(None if key.cost_per_month is None else float(key.cost_per_month), key.currency)


def spent_of(keys: Iterable[ApiKey]) -> dict[int, Spent]:
    """By key, for those that have a budget of money."""
    found = {}
    for key in keys:
        if key.cost_per_month is not None:
            spent = spent_by(key).get(key.currency, 0.0)
            words = (
                _("%(spent)s of %(most)s")
                if _has_price(key)
                else _("at most %(most)s, but no price is set")
            )
            said = words % {"spent": money(spent, key.currency), "most": budget(key)}
            found[key.pk] = Spent(said, spent >= float(key.cost_per_month))
    return found


def _has_price(key: ApiKey) -> bool:
    """Whether anything that this key opens costs something in the currency of its budget."""
    found = Deployment.objects.filter(team=key.team_id, currency=key.currency)
    if key.deployment_id:
        found = found.filter(pk=key.deployment_id)
    return any(Price.of(deployment).is_set for deployment in found)


def _gathered(
    kept: "QuerySet[Hour]", whose: str, pk: int, since: datetime
) -> dict[int | None, Sum]:
    until = hours.up_to()
    found: dict[int | None, Sum] = {}
    totals = kept.filter(at__gte=since, at__lt=until).order_by()
    for deployment, *counts in totals.values_list("deployment").annotate(
        *(Total(name) for name in COUNTS)
    ):
        found.setdefault(deployment, Sum()).add(Sum(*counts))
    rows = hours.rows_since(max(since, until))
    for row, busy in zip(rows, hours.busy_of(rows), strict=True):
        if getattr(row, whose) == pk:
            found.setdefault(row.deployment, Sum()).add(hours.sum_of(row, busy))
    return found
