"""Template tags with which pages of other apps show imports."""

from typing import Any

from django import template
from django.template import Context

from finetune_app.datasets.models import Dataset
from finetune_app.goals.models import Goal
from finetune_app.imports.presenters import upload_context

register = template.Library()


@register.inclusion_tag("imports/_upload_form.html", takes_context=True)
def upload_form(context: Context, goal: Goal) -> dict[str, Any]:
    """The form that uploads a file or pasted rows."""
    request = context["request"]
    return {
        "csrf_token": context["csrf_token"],
        "goal": goal,
        **upload_context(goal, request.user),
    }


@register.inclusion_tag("imports/_running_imports.html")
def running_imports(dataset: Dataset, can_edit: bool) -> dict[str, Any]:
    """Imports that are running, have failed, or wait for a decision."""
    unfinished = dataset.imports.exclude(step__in=["done", "cancelled"])
    return {"goal": dataset.goal, "imports": unfinished, "can_edit": can_edit}
