"""Monthly budgets of API keys in money: what a key has spent, and whether that is all it may.

Budgets in tokens: api_keys/models.py.
"""

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.utils.translation import gettext as _

from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring.costs import Price, format_money, spent_by, start_of_month
from finetune_app.request_log.rollups import RecentRequests

BUDGET_CACHE_SECONDS = 30.0  # in which a key may exceed its budget
MAX_CACHED_KEYS = 1000
# For which the recent requests of all teams are kept: the keys of a process share them.
RECENT_CACHE_SECONDS = 5.0
_spent_cache: dict[int, tuple[float, float]] = {}  # by key: (valid until, amount spent)
_recent_cache: dict[datetime, tuple[float, RecentRequests]] = {}  # by month: (valid until, ...)
_recent_lock = threading.Lock()


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
        spent = spent_by(key, recent=_recent_requests()).get(key.currency, 0.0)
        _spent_cache[key.pk] = (time.monotonic() + BUDGET_CACHE_SECONDS, spent)
    return spent >= float(key.cost_per_month)


def _recent_requests() -> RecentRequests:
    """Cached per process for RECENT_CACHE_SECONDS; read by one thread while others wait for it."""
    month = start_of_month()
    with _recent_lock:
        until, recent = _recent_cache.get(month, (0.0, None))
        if recent is None or time.monotonic() >= until:
            _recent_cache.clear()  # before the next ones take memory
            recent = RecentRequests.not_rolled_up(month)
            _recent_cache[month] = (time.monotonic() + RECENT_CACHE_SECONDS, recent)
        return recent


def budget(key: ApiKey) -> str:
    """The key's monthly budget, such as €20.00; "" without one."""
    amount = None if key.cost_per_month is None else float(key.cost_per_month)
    return format_money(amount, key.currency)


def spent_of(keys: Iterable[ApiKey]) -> dict[int, Spent]:
    """By primary key, for the keys that have a budget."""
    found: dict[int, Spent] = {}
    with_budget = [key for key in keys if key.cost_per_month is not None]
    recent = _recent_requests() if with_budget else None
    for key in with_budget:
        spent = spent_by(key, recent=recent).get(key.currency, 0.0)
        words = (
            _("%(spent)s of %(most)s")
            if _has_price(key)
            else _("at most %(most)s, but no price is set")
        )
        words %= {"spent": format_money(spent, key.currency), "most": budget(key)}
        found[key.pk] = Spent(words, spent >= float(key.cost_per_month or 0))
    return found


def _has_price(key: ApiKey) -> bool:
    """Whether any deployment that the key can use has a price in the currency of its budget."""
    found = Deployment.objects.filter(team=key.team_id, currency=key.currency)
    if key.deployment_id:
        found = found.filter(pk=key.deployment_id)
    return any(Price.of(deployment).is_set for deployment in found)
