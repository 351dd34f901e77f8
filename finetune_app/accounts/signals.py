"""Writes one line to the log for each failed sign-in, and for each password or code that was wrong
when it was asked for again."""

import logging
from typing import Any

from allauth.mfa.signals import authentication_failed
from django.contrib.auth.signals import user_login_failed
from django.dispatch import receiver
from django.http import HttpRequest

from finetune_app.accounts.models import User
from finetune_app.core.requests import client_ip

log = logging.getLogger(__name__)


@receiver(user_login_failed)
def log_failed_sign_in(
    sender: Any, credentials: dict[str, Any], request: HttpRequest | None = None, **kwargs: Any
) -> None:
    """Names the account by its number, and only if it exists: people type passwords into the
    field of the address."""
    email = str(credentials.get("email", "")).strip().lower()
    account = User.objects.filter(email=email).values_list("pk", flat=True).first()
    log.warning(
        "Failed sign-in from %s to %s",
        client_ip(request) if request else "a command",
        f"account {account}" if account else "no known account",
    )


@receiver(authentication_failed)
def count_wrong_code(sender: Any, request: HttpRequest, user: User, **kwargs: Any) -> None:
    """A wrong code of the second factor counts like a wrong password, in the lock and the logs."""
    user_login_failed.send(sender=__name__, credentials={"email": user.email}, request=request)
