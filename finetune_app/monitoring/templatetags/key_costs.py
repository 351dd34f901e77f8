"""What the page of the team's keys, in a room below, shows of costs."""

from typing import Any

from django import template

from finetune_app.api_keys.models import ApiKey
from finetune_app.monitoring import costs

register = template.Library()


@register.inclusion_tag("monitoring/_key_spending.html")
def key_spending(key: ApiKey) -> dict[str, Any]:
    """What the key has spent of its monthly budget of money, if it has one."""
    return {"spent": costs.spent_of([key]).get(key.pk)}
