"""The template tag with which the page of an evaluation shows second opinions."""

from typing import Any

from django import template

from finetune_app.evaluation.models import Evaluation
from finetune_app.judging import presenters, services

register = template.Library()
MAX_SHOWN = 3  # the newest


@register.inclusion_tag("judging/_second_opinion.html")
def second_opinion(evaluation: Evaluation, may_edit: bool) -> dict[str, Any]:
    """What judges said about this evaluation, and the way to ask one."""
    runs = list(evaluation.judge_runs.with_details()[:MAX_SHOWN])
    for run in runs:
        run.evaluation = evaluation  # whose candidates the page has read
    return {
        "evaluation": evaluation,
        "opinions": [presenters.opinion_of(run) for run in runs if run.is_done],
        "unfinished": [run for run in runs if not run.is_done],
        "may_edit": may_edit,
        "can_ask": services.can_be_judged(evaluation),
    }
