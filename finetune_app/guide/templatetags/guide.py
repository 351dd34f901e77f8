"""What templates of other rooms show of the guide."""

from typing import Any

from django import template
from django.template import Context

from finetune_app.goals.models import Goal
from finetune_app.guide.methods import WAYS
from finetune_app.guide.rail import step_of
from finetune_app.guide.wizard.letter import put_off

register = template.Library()


@register.simple_tag(takes_context=True)
def ways_of(context: Context, goal: Goal) -> list[dict[str, Any]]:
    """The three ways of step 4: which is the goal's, which page this is, why one is put off."""
    request = getattr(context, "request", None)
    page = request.resolver_match.view_name if request and request.resolver_match else ""
    member = getattr(request, "membership", None)
    later = put_off(goal)
    ways = []
    for way in WAYS:
        chosen, here = way.belongs_to(goal.method), _is_here(way.route, page)
        ways.append(
            {
                "name": way.name,
                "method": way.method,
                "url": way.url(goal),
                "chosen": chosen,
                "here": here,
                "why": "" if chosen else later.get(way.method, ""),
                "may_choose": here and not chosen and bool(member and member.may_edit),
            }
        )
    return ways


def _is_here(route: str, page: str) -> bool:
    """A way's page, or another one of its room that belongs to step 4."""
    return page.partition(":")[0] == route.partition(":")[0] and step_of(page) == 4
