"""Writes one line of the audit log for each request to a view that declares an action.

Requests that nobody known sent leave a line only by a failed sign-in, and none once axes has
locked them out (429): so strangers cannot fill the log.
"""

import logging
from collections.abc import Callable
from typing import cast

from django.db import DatabaseError
from django.http import HttpRequest as DjangoRequest
from django.http import HttpResponse

from finetune_app.accounts.access import Policy
from finetune_app.accounts.requests import HttpRequest
from finetune_app.audit import services
from finetune_app.core.audit import AuditAction

log = logging.getLogger(__name__)


class AuditMiddleware:
    def __init__(self, get_response: Callable[[DjangoRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, given: DjangoRequest) -> HttpResponse:
        request = cast(HttpRequest, given)
        # Before the view: it may sign the person out, or delete the team.
        actor_id = request.user.pk
        team_id = request.team.pk if request.team else None
        response = self.get_response(request)
        action = action_of(request)
        if action and response.status_code != 429:
            try:
                services.record_request(
                    request, action, response.status_code, actor_id=actor_id, team_id=team_id
                )
            except DatabaseError:  # what was done is done; its answer still arrives
                log.exception("no line of the audit log for %s", action)
        return response


def action_of(request: HttpRequest) -> AuditAction | None:
    """The action that the view declares, else what Django's signals noted."""
    match = request.resolver_match
    policy: Policy | None = getattr(match.func, "policy", None) if match else None
    # A public view that did something says so by naming what it made.
    did_something = policy and (policy.scope != "public" or hasattr(request, "audit_target"))
    if policy and did_something and policy.is_audited(request.method):
        return policy.audit
    return getattr(request, "audit_noted", None)
