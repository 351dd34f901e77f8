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
    """The deployment's API address, its other names and its keys. From the context come `key_form`,
    a form with errors, and `alias_problem`, why a name was not added, where there is one."""
    return {
        "deployment": deployment,
        "address": code_snippets.api_address(),
        "aliases": deployment.aliases.all(),
        "alias_problem": context.get("alias_problem"),
        "alias_typed": context.get("alias_typed"),
        "keys": deployment.keys.not_revoked().select_related("created_by"),
        "key_form": context.get("key_form") or DeploymentKeyForm(),
        "may_edit": may_edit,
    }
