"""Signing in, failing to, and signing out, and a changed second factor: Django and allauth say so,
whichever view did it.

The receivers only note it on the request; the middleware writes the line, once a request.
"""

from typing import Any

from allauth.mfa.signals import authenticator_added, authenticator_removed, authenticator_reset
from django.contrib.auth.signals import user_logged_in, user_logged_out, user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from finetune_app.accounts.models import User
from finetune_app.core.audit import AuditAction, set_audit_target


@receiver(user_logged_in)
def note_sign_in(request: HttpRequest | None, **kwargs: Any) -> None:
    _note(request, AuditAction.SIGNED_IN)


@receiver(user_logged_out)
def note_sign_out(request: HttpRequest | None, **kwargs: Any) -> None:
    _note(request, AuditAction.SIGNED_OUT)


@receiver(user_login_failed)
def note_failure(
    credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Says whose account was tried if there is one, else nothing of what was typed: people type
    their password into the wrong field."""
    if request is None:
        return
    _note(request, AuditAction.SIGN_IN_FAILED)
    email = str(credentials.get("email") or credentials.get("username") or "").strip().lower()
    tried = User.objects.filter(email=email).first() if email else None
    if tried:
        set_audit_target(request, tried)


@receiver(authenticator_added)
def note_second_factor(request: HttpRequest, **kwargs: Any) -> None:
    _note(request, AuditAction.SECOND_FACTOR_ADDED)


@receiver(authenticator_removed)
def note_second_factor_removed(request: HttpRequest, **kwargs: Any) -> None:
    _note(request, AuditAction.SECOND_FACTOR_REMOVED)


@receiver(authenticator_reset)
def note_recovery_codes(request: HttpRequest, **kwargs: Any) -> None:
    _note(request, AuditAction.RECOVERY_CODES_MADE)


def _note(request: HttpRequest | None, action: AuditAction) -> None:
    if request is not None:
        request.audit_noted = action  # type: ignore[attr-defined]
