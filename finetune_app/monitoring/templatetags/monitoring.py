"""Figures for the deployment page, which belongs to an app below this one."""

from typing import Any

from django import template
from django.template import Context

from finetune_app.deployment.models import Deployment, Release
from finetune_app.monitoring import canary_comparison as canaries
from finetune_app.monitoring.retraining import new_examples_of
from finetune_app.monitoring.summary import DAYS, days_from_query, summary_of
from finetune_app.request_log import feedback

register = template.Library()


@register.simple_tag(takes_context=True)
def usage_summary(context: Context, deployment: Deployment) -> dict[str, Any]:
    """What templates/monitoring/_summary.html shows, over the days named in the query string."""
    days = days_from_query(context["request"].GET.get("days"))
    return {
        "figures": summary_of(deployment, days),
        "days": days,
        "ranges": DAYS,
        "new_examples": new_examples_of(deployment.goal_id),
        "bad": feedback.count_bad_answers(deployment),
    }


@register.simple_tag
def canary_comparison(
    deployment: Deployment, canary: Release, current: Release
) -> canaries.CanaryComparison:
    return canaries.compare(deployment, canary, current)
