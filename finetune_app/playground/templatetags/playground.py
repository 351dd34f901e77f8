"""The public chat page, for the deployment page, which belongs to an app below this one."""

from typing import Any

from django import template

from finetune_app.deployment.models import Deployment
from finetune_app.playground.models import PublicChat

register = template.Library()


@register.inclusion_tag("playground/_public_chat.html")
def public_chat_summary(deployment: Deployment, *, may_edit: bool) -> dict[str, Any]:
    """Whether the public chat page is on, and a link to it."""
    chat: PublicChat | None = getattr(deployment, "public_chat", None)
    return {
        "goal_id": deployment.goal_id,
        "chat": chat if chat and chat.on else None,
        "may_edit": may_edit,
    }
