"""Template tags with which pages of other rooms show the three methods."""

from typing import Any

from django import template
from django.template import Context

from finetune_app.goals.models import Goal
from finetune_app.guide.methods import METHOD_OPTIONS
from finetune_app.guide.rail import step_of
from finetune_app.guide.wizard.letter import postponed_methods

register = template.Library()


@register.simple_tag(takes_context=True)
def method_options(context: Context, goal: Goal) -> list[dict[str, Any]]:
    """The three methods of step 4: which is chosen, which page this is, why one should wait."""
    request = getattr(context, "request", None)
    page = request.resolver_match.view_name if request and request.resolver_match else ""
    member = getattr(request, "membership", None)
    postponed = postponed_methods(goal)
    options = []
    for option in METHOD_OPTIONS:
        chosen, here = option.belongs_to(goal.method), _is_here(option.route, page)
        options.append(
            {
                "name": option.name,
                "method": option.method,
                "url": option.url(goal),
                "chosen": chosen,
                "here": here,
                "why": "" if chosen else postponed.get(option.method, ""),
                "may_choose": here and not chosen and bool(member and member.may_edit),
            }
        )
    return options


def _is_here(route: str, page: str) -> bool:
    """Whether `page` is the method's page, or another page of step 4 in the same room."""
    return page.partition(":")[0] == route.partition(":")[0] and step_of(page) == 4
