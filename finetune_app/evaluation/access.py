"""Which evaluation a page is about."""

from django.shortcuts import get_object_or_404

from finetune_app.evaluation.models import Evaluation
from finetune_app.goals.models import Goal


def get_evaluation(goal: Goal, evaluation_id: int) -> Evaluation:
    """Raises Http404 for an evaluation of another goal."""
    return get_object_or_404(goal.evaluations.with_details(), pk=evaluation_id)
