"""Template tags with which pages of other apps show labelling."""

from typing import Any

from django import template

from finetune_app.goals.models import Goal

register = template.Library()


@register.inclusion_tag("labelling/_rows_to_answer.html")
def rows_to_answer(goal: Goal, counts: dict[str, int]) -> dict[str, Any]:
    """How many rows wait for an answer, with links; nothing when none do."""
    return {"goal": goal, "counts": counts}
