"""Keys for the deployment page, which belongs to an app below this one."""

from typing import Any

from django import template
from django.template import Context

from finetune_app.api_keys.forms import DeploymentKeyForm
from finetune_app.deployment import code_snippets
from finetune_app.deployment.models import Deployment

register = template.Library()


@register.inclusion_tag("api_keys/_address_and_keys.html", takes_context=True)
def address_and_keys(context: Context, deployment: Deployment, *, may_edit: bool) -> dict[str, Any]:
    """The deployment's API address and its keys. `key_form` of the context is a form with errors,
    where there is one."""
    return {
        "deployment": deployment,
        "address": code_snippets.api_address(),
        "keys": deployment.keys.not_revoked().select_related("created_by"),
        "key_form": context.get("key_form") or DeploymentKeyForm(),
        "may_edit": may_edit,
    }
