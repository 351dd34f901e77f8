"""Template tags with which pages of other apps show the three methods, and what comes next."""

from dataclasses import dataclass

from django import template
from django.template import Context
from django.utils.functional import Promise

from finetune_app.goals.models import Goal, Method
from finetune_app.guide.rail import step_of
from finetune_app.guide.step_results import StepResults
from finetune_app.guide.steps import METHOD_OPTIONS
from finetune_app.guide.wizard.letter import Next, next_after, postponed_methods

register = template.Library()


@dataclass(frozen=True)
class MethodTab:
    """A method of step 4. `why`: the reason to postpone it, if it is not chosen."""

    name: Promise
    method: Method
    url: str
    chosen: bool
    here: bool  # this is its page
    why: str
    may_choose: bool


@register.simple_tag(takes_context=True)
def method_options(context: Context, goal: Goal) -> list[MethodTab]:
    request = getattr(context, "request", None)
    page = request.resolver_match.view_name if request and request.resolver_match else ""
    member = getattr(request, "membership", None)
    postponed = postponed_methods(goal)
    tabs = []
    for option in METHOD_OPTIONS:
        chosen, here = option.belongs_to(goal.method), _is_here(option.route, page)
        tabs.append(
            MethodTab(
                name=option.name,
                method=option.method,
                url=option.url(goal),
                chosen=chosen,
                here=here,
                why="" if chosen else postponed.get(option.method, ""),
                may_choose=here and not chosen and bool(member and member.may_edit),
            )
        )
    return tabs


def _is_here(route: str, page: str) -> bool:
    """Whether `page` is the method's page, or another page of step 4 in the same app."""
    return page.partition(":")[0] == route.partition(":")[0] and step_of(page) == 4


@register.simple_tag
def next_step(goal: Goal, results: StepResults) -> Next:
    """What comes next for a goal that has its method; `results` are the goal's."""
    return next_after(goal, goal.method, results=results)
