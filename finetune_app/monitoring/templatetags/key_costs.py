"""Costs for the page of the team's keys, which belongs to an app below this one."""

from collections.abc import Iterable

from django import template

from finetune_app.api_keys.models import ApiKey
from finetune_app.monitoring import key_budgets

register = template.Library()


@register.simple_tag
def spending_of(keys: Iterable[ApiKey]) -> dict[int, key_budgets.Spent]:
    """What each key has spent of its monthly budget of money: read once for all keys of a page."""
    return key_budgets.spent_of(keys)


@register.inclusion_tag("monitoring/_key_spending.html")
def key_spending(
    key: ApiKey, spending: dict[int, key_budgets.Spent]
) -> dict[str, key_budgets.Spent | None]:
    return {"spent": spending.get(key.pk)}
