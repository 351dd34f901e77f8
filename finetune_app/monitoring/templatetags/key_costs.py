"""Costs for the page of the team's keys, which belongs to an app below this one."""

from django import template

from finetune_app.api_keys.models import ApiKey
from finetune_app.monitoring import key_budgets

register = template.Library()


@register.inclusion_tag("monitoring/_key_spending.html")
def key_spending(key: ApiKey) -> dict[str, key_budgets.Spent | None]:
    """What the key has spent of its monthly budget of money, if it has one."""
    return {"spent": key_budgets.spent_of([key]).get(key.pk)}
