"""The rail, in the template context of every page below a goal, with the results it is made from;
computed only when it is used."""

from typing import Any

from django.http import HttpRequest
from django.utils.functional import SimpleLazyObject

from finetune_app.guide.rail import rail
from finetune_app.guide.step_results import StepResults


def frame(request: HttpRequest) -> dict[str, Any]:
    goal = getattr(request, "goal", None)
    if goal is None or goal.pk is None:
        return {}
    page = request.resolver_match.view_name if request.resolver_match else ""
    results = StepResults([goal])
    return {
        "goal": goal,
        "rail": SimpleLazyObject(lambda: rail(goal, page, results)),
        "step_results": results,
    }
