"""Step 6: how what is live is doing."""

from typing import Any

from finetune_app.core.requests import HttpRequest
from finetune_app.deployment import figures
from finetune_app.deployment.models import Deployment

SHOWN = 20  # requests


def figures_context(request: HttpRequest, deployment: Deployment) -> dict[str, Any]:
    """What templates/deployment/_figures.html and _requests.html show."""
    days = figures.days_of(request.GET.get("days"))
    return {
        "days": days,
        "ranges": figures.RANGES,
        "figures": figures.of(deployment, days),
        "requests": deployment.requests.select_related("key")[:SHOWN],
    }
