"""What allauth asks of this project. Its views show our templates; its adapters say our words."""

from typing import Any, ClassVar

from allauth.account.adapter import DefaultAccountAdapter
from allauth.core import context
from django.contrib import messages
from django.contrib.auth import login
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.translation import gettext_lazy as _

from finetune_app.accounts import services
from finetune_app.accounts.models import User
from finetune_app.core.requests import client_ip

BACKEND = "django.contrib.auth.backends.ModelBackend"


class AccountAdapter(DefaultAccountAdapter):
    # allauth's messages by their template. Those that are not here are not said.
    MESSAGES: ClassVar[dict[str, Any]] = {}
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

    def reauthenticate(self, user: User, password: str) -> bool:
        return services.password_is_right(context.request, user, password)

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
