"""Alerts for the deployment page, which belongs to an app below this one."""

from typing import Any

from django import template

from finetune_app.alerts.models import Rule
from finetune_app.deployment.models import Deployment

register = template.Library()


@register.inclusion_tag("alerts/_line.html")
def alerts_line(deployment: Deployment) -> dict[str, Any]:
    rules = list(Rule.objects.filter(watch__deployment=deployment, on=True))
    return {
        "goal_id": deployment.goal_id,
        "rules": rules,
        "raised": [rule for rule in rules if rule.raised_at],
    }
