"""The only module that writes the audit log."""

from typing import Any

from finetune_app.accounts.requests import HttpRequest
from finetune_app.audit.models import AuditEntry
from finetune_app.core.audit import AuditAction, AuditTarget
from finetune_app.core.logs import request_id
from finetune_app.core.requests import client_ip

# These are about a person, whichever team they are working in.
_NO_TEAM = ("account.", "command.", "operator.")
OF_NO_TEAM = frozenset(action for action in AuditAction if action.value.startswith(_NO_TEAM))


def record_request(
    request: HttpRequest,
    action: AuditAction,
    status: int,
    *,
    actor_id: int | None,
    team_id: int | None,
) -> AuditEntry | None:
    """`actor_id` and `team_id` are those before the view ran; None if nobody known asked."""
    key = getattr(request, "api_key", None)
    actor_id = None if key else actor_id or request.user.pk
    if actor_id is None and key is None and action != AuditAction.SIGN_IN_FAILED:
        return None
    target = getattr(request, "audit_target", None)
    return AuditEntry.objects.create(
        action=action,
        status=status,
        actor_id=actor_id,
        key_id=key.pk if key else None,
        team_id=key.team_id if key else _team_id(request, action, target, team_id),
        goal_id=_goal_id(request),
        target=_target(request, target),
        address=_address(request, action, status),
        request_id=request_id.get()[:64],
    )


def record_command(action: AuditAction, *, target: AuditTarget | None = None) -> AuditEntry:
    """The line of a command of the shell, which knows no person."""
    return AuditEntry.objects.create(action=action, status=200, target=_name(target))


def _team_id(
    request: HttpRequest, action: AuditAction, target: AuditTarget | None, before: int | None
) -> int | None:
    if target and target.team_id:
        return target.team_id
    if action in OF_NO_TEAM:
        return None
    # Below a goal it is the goal's team; a deleted team has lost its key.
    return (request.team.pk if request.team else None) or before


def _address(request: HttpRequest, action: AuditAction, status: int) -> str:
    """Of who deleted their account nothing is kept (signals.py of operations forgets the rest)."""
    is_gone = action == AuditAction.ACCOUNT_DELETED and status < 400
    return "" if is_gone else client_ip(request)[:45]


def _goal_id(request: HttpRequest) -> int | None:
    match = request.resolver_match
    return match.kwargs.get("goal_id") if match else None


def _target(request: HttpRequest, target: AuditTarget | None) -> str:
    """What the view named, else the ids in the address; texts in it may be secrets."""
    if target is not None:
        return _name(target)
    match = request.resolver_match
    ids: dict[str, Any] = match.kwargs if match else {}
    found = [
        f"{name.removesuffix('_id')} {value}"
        for name, value in ids.items()
        if isinstance(value, int) and name != "goal_id"
    ]
    return ", ".join(found)[:60]


def _name(target: AuditTarget | None) -> str:
    return f"{target.model} {target.pk}" if target else ""
