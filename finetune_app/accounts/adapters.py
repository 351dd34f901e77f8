"""What allauth asks of this project. Its views show our templates; its adapters say our words."""

import time
from typing import Any, ClassVar

from allauth.account import app_settings
from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from allauth.mfa.adapter import DefaultMFAAdapter
from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts import services
from finetune_app.accounts.models import User
from finetune_app.accounts.oidc import CONFIRMED_AT
from finetune_app.core import encryption
from finetune_app.core.requests import client_ip

BACKEND = "django.contrib.auth.backends.ModelBackend"

# How a person can say again who they are, by allauth's names.
WAYS = {
    "reauthenticate": _("Use your password"),
    "mfa_reauthenticate": _("Use a code"),
    "mfa_reauthenticate:webauthn": _("Use a passkey"),
    "provider": _("Sign in again"),
}


class AccountAdapter(DefaultAccountAdapter):
    # allauth's messages by their template. Those that are not here are not said.
    MESSAGES: ClassVar[dict[str, Any]] = {
        "mfa/messages/totp_activated.txt": _("From now on you sign in with a code as well."),
        "mfa/messages/totp_deactivated.txt": _("The app is removed."),
        "mfa/messages/webauthn_added.txt": _("The passkey is added."),
        "mfa/messages/webauthn_removed.txt": _("The passkey is removed."),
    }
    error_messages = DefaultAccountAdapter.error_messages | {
        "incorrect_password": _("That is not your password."),
        "too_many_login_attempts": _("Too many tries. Wait five minutes, then try again."),
        "rate_limited": _("Too many tries. Wait five minutes, then try again."),
    }

    def is_open_for_signup(self, request: HttpRequest) -> bool:
        """Accounts are made by an invitation (views/auth.py)."""
        return False

    def get_client_ip(self, request: HttpRequest) -> str:
        return client_ip(request)

    def login(self, request: HttpRequest, user: User) -> None:
        login(request, user, backend=BACKEND)
        if getattr(request, "confirmed_with_provider", False):
            request.session[CONFIRMED_AT] = time.time()

    def reauthenticate(self, user: User, password: str) -> bool:
        return services.password_is_right(context.request, user, password)

    def get_reauthentication_methods(self, user: User) -> list[dict[str, Any]]:
        methods = super().get_reauthentication_methods(user)
        if not methods and settings.OIDC:
            methods = [{"id": "provider", "url": reverse("confirm_with_provider")}]
        return [method | {"description": WAYS[method["id"]]} for method in methods]

    def is_reauthentication_required(self, *, app: str, **kwargs: Any) -> bool:
        """Not just after the provider was asked to have them sign in again. Any other sign-in with
        it may have needed nobody: it lets in who is signed in there."""
        since = time.time() - app_settings.REAUTHENTICATION_TIMEOUT
        confirmed_at: float = context.request.session.get(CONFIRMED_AT, 0)
        return bool(confirmed_at < since)

    def respond_user_inactive(self, request: HttpRequest, user: User) -> HttpResponse:
        messages.error(request, _("This account is closed. Ask the owner of your team."))
        return redirect("accounts:sign_in")

    def add_message(
        self,
        request: HttpRequest,
        level: int,
        message_template: str | None = None,
        message_context: dict[str, Any] | None = None,
        extra_tags: str = "",
        message: str | None = None,
    ) -> None:
        text = message or self.MESSAGES.get(message_template or "")
        if text:
            messages.add_message(request, level, text, extra_tags=extra_tags)


class SecondFactorAdapter(DefaultMFAAdapter):
    error_messages = DefaultMFAAdapter.error_messages | {
        "incorrect_code": _("That was not accepted. Try again."),
    }

    def encrypt(self, text: str) -> str:
        return encryption.encrypt(text)

    def decrypt(self, encrypted_text: str) -> str:
        return encryption.decrypt(encrypted_text)
