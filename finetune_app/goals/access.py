"""`@goal_page(role, methods)`: the decorator of views below a goal."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import Http404, HttpResponseBase

from finetune_app.accounts.access import (
    Policy,
    View,
    declare,
    require_role,
    require_second_factor,
    to_sign_in,
)
from finetune_app.accounts.models import Role
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.audit import AuditAction
from finetune_app.goals.models import Goal


def goal_page(
    needed: Role,
    *methods: str,
    changing: Role | None = None,
    audit: AuditAction | None = None,
) -> Callable[[View], View]:
    """Decorate `view(request, goal, ...)` for a URL with `<int:goal_id>`.

    `changing` is the role for everything but GET, where that is not `needed` itself.

    Another team's goal is 404; a member without the role gets 403. The request's team
    becomes the goal's team; the rail is drawn for `request.goal`.
    """

    policy = Policy(needed, methods, "goal", changing, audit)

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(
            request: HttpRequest, *args: Any, goal_id: int, **kwargs: Any
        ) -> HttpResponseBase:
            if not request.user.is_authenticated:
                return to_sign_in(request)
            goal = Goal.objects.visible_to(request.user).filter(pk=goal_id).first()
            memberships = {one.team_id: one for one in request.memberships}
            if goal is None or goal.team_id not in memberships:
                raise Http404("no such goal")
            membership = memberships[goal.team_id]
            require_role(membership, policy.needed_for(request.method))
            require_second_factor(request, membership)
            request.team, request.membership = membership.team, membership
            goal.team = membership.team  # not to be read again
            request.goal = goal  # type: ignore[attr-defined]  # read by guide/context.py
            return view(request, goal, *args, **kwargs)

        return declare(inner, policy)

    return decorate
