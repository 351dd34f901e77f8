"""The template tag with which the page of a measure shows what needs no model."""

from typing import Any

from django import template

from finetune_app.datasets.trivial_scores import trivial_scores
from finetune_app.goals.models import Goal

register = template.Library()


@register.inclusion_tag("datasets/_trivial_scores.html")
def without_a_model(goal: Goal) -> dict[str, Any]:
    """What an answer without a model scores on the goal's training examples; nothing without."""
    return {"trivial": trivial_scores(goal)}
