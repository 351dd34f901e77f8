"""The newest requests, for the deployment page, which belongs to an app below this one."""

from typing import Any

from django import template

from finetune_app.deployment.models import Deployment
from finetune_app.request_log import retention

register = template.Library()
MAX_NEWEST = 8  # requests; the others are on a page of their own


@register.inclusion_tag("request_log/_newest.html")
def newest_requests(deployment: Deployment) -> dict[str, Any]:
    return {
        "goal": deployment.goal,
        "requests": deployment.requests.select_related("key").order_by("-at", "-pk")[:MAX_NEWEST],
        "keeps": retention.settings_of(deployment).on,
    }
