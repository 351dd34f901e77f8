"""Writes one line of the audit log for each request to a view that declares an action.

Requests that nobody known sent leave a line only by a failed sign-in, and none once axes has
locked them out (429): so strangers cannot fill the log.
"""

import logging
from collections.abc import Callable
from typing import cast

from allauth.core.exceptions import ReauthenticationRequired
from asgiref.sync import sync_to_async
from django.db import DatabaseError
from django.http import HttpRequest as DjangoRequest
from django.http import HttpResponse
from django.urls import resolve
from django.utils.deprecation import MiddlewareMixin

from finetune_app.accounts.access import Policy
from finetune_app.accounts.requests import HttpRequest
from finetune_app.audit import services
from finetune_app.core.audit import AuditAction

log = logging.getLogger(__name__)

ASKED_WHO = 401  # status of a line: nothing was done, since it was asked again who is there


class AuditMiddleware:
    def __init__(self, get_response: Callable[[DjangoRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, given: DjangoRequest) -> HttpResponse:
        request = cast(HttpRequest, given)
        # Before the view: it may sign the person out, or delete the team.
        actor_id = request.user.pk
        team_id = request.team.pk if request.team else None
        path = request.path_info
        response = self.get_response(request)
        if request.path_info != path:  # allauth went on with what it had interrupted
            request.resolver_match = resolve(request.path_info)
        action = action_of(request)
        status = getattr(request, "audit_status", response.status_code)
        if action and status != 429:
            try:
                services.record_request(request, action, status, actor_id=actor_id, team_id=team_id)
            except DatabaseError:  # what was done is done; its answer still arrives
                log.exception("no line of the audit log for %s", action)
        return response

    def process_exception(self, request: DjangoRequest, error: Exception) -> None:
        """allauth answers with a redirect, which looks as if something had been done."""
        if isinstance(error, ReauthenticationRequired):
            request.audit_status = ASKED_WHO  # type: ignore[attr-defined]


class ApiAuditMiddleware(MiddlewareMixin):
    """The same for the API, where a key asks."""

    async def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        action = action_of(request) if hasattr(request, "api_key") else None
        if action and response.status_code != 429:
            await sync_to_async(_record_for_key)(request, action, response.status_code)
        return response


def _record_for_key(request: HttpRequest, action: AuditAction, status: int) -> None:
    try:
        services.record_request(request, action, status, actor_id=None, team_id=None)
    except DatabaseError:  # as above
        log.exception("no line of the audit log for %s", action)


def action_of(request: HttpRequest) -> AuditAction | None:
    """The action that the view declares, else what Django's signals noted."""
    match = request.resolver_match
    policy: Policy | None = getattr(match.func, "policy", None) if match else None
    # A public view that did something says so by naming what it made.
    did_something = policy and (policy.scope != "public" or hasattr(request, "audit_target"))
    if policy and did_something and policy.is_audited(request.method):
        return policy.audit
    return getattr(request, "audit_noted", None)
