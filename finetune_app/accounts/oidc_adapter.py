"""Who may come in by OpenID Connect: what allauth asks of this project about it."""

import logging
import time
from typing import Any

from allauth.account.app_settings import REAUTHENTICATION_TIMEOUT
from allauth.account.models import EmailAddress
from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from allauth.socialaccount.models import SocialAccount
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import Resolver404, resolve
from django.utils.translation import gettext as _

from finetune_app.accounts import services
from finetune_app.accounts.models import User
from finetune_app.accounts.oidc import AGAIN, Oidc
from finetune_app.core.requests import client_ip

log = logging.getLogger(__name__)


class OidcAdapter(DefaultSocialAccountAdapter):
    def populate_user(self, request: HttpRequest, sociallogin: Any, data: dict[str, Any]) -> User:
        user: User = super().populate_user(request, sociallogin, data)
        user.name = str(data.get("name") or user.email.partition("@")[0])[:80]
        return user

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> User:
        """Without allauth's own copy of the address, which would not follow ours."""
        user: User = super().save_user(request, sociallogin, form)
        EmailAddress.objects.filter(user=user).delete()
        return user

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        """Called once allauth has found the account, or none."""
        if sociallogin.account.pk:
            _follow_address(sociallogin)
        elif sociallogin.user.pk:
            _require_unknown(request, sociallogin)
            _say_that_the_password_ends(request, sociallogin.user)
        asked_again = sociallogin.state.get("data") == AGAIN
        if asked_again and were_asked_lately(sociallogin.account):
            request.confirmed_with_provider = True  # type: ignore[attr-defined]  # for adapters.py

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        """Whether somebody without an account may have one: invited, or of an allowed domain."""
        confirmed = [one.email for one in sociallogin.email_addresses if one.verified]
        if not confirmed:
            text = _("%(name)s has not confirmed your e-mail address. Confirm it there first.")
            raise ImmediateHttpResponse(back_to_sign_in(request, text))
        if _is_invited(sociallogin.state.get("next") or "") or any(
            email.rpartition("@")[2].lower() in oidc().domains for email in confirmed
        ):
            return True
        text = _(
            "%(name)s knows you, but you have no account here yet. Ask the owner of a team for an "
            "invitation link, open it, and join from there."
        )
        raise ImmediateHttpResponse(back_to_sign_in(request, text))

    def on_authentication_error(
        self,
        request: HttpRequest,
        provider: Any,
        error: Any = None,
        exception: Exception | None = None,
        extra_context: dict[str, Any] | None = None,
    ) -> None:
        """Instead of a page of allauth's."""
        reason = type(exception).__name__ if exception else str(error)
        raise ImmediateHttpResponse(sign_in_failed(request, reason))


def _follow_address(sociallogin: Any) -> None:
    """An address that changed at the provider changes here, unless somebody else has it here: who
    is given the old one there next must not find this account by it."""
    user = sociallogin.user
    confirmed = [one.email.lower() for one in sociallogin.email_addresses if one.verified]
    if not confirmed or user.email in confirmed:
        return
    if not User.objects.filter(email=confirmed[0]).exists():
        services.change_profile(user=user, name=user.name, email=confirmed[0])


def _require_unknown(request: HttpRequest, sociallogin: Any) -> None:
    """Whoever has the address of an account of somebody else at the provider does not get it."""
    account = sociallogin.account
    if SocialAccount.objects.filter(user=sociallogin.user, provider=account.provider).exists():
        text = _(
            "The account here with your e-mail address belongs to somebody else at %(name)s. Ask "
            "who runs this installation."
        )
        raise ImmediateHttpResponse(back_to_sign_in(request, text))


def _say_that_the_password_ends(request: HttpRequest, user: User) -> None:
    """allauth ends it when an account is found by its address, which nobody had confirmed."""
    if user.has_usable_password():
        text = _("From now on you sign in with %(name)s. Your password has ended.")
        messages.warning(request, text % {"name": oidc().name})


def were_asked_lately(account: SocialAccount) -> bool:
    """Whether they said at the provider who they are. It may not tell when: then it is believed,
    since it was asked to ask them."""
    told = (account.extra_data.get("id_token") or {}).get("auth_time")
    try:
        return told is None or float(told) > time.time() - REAUTHENTICATION_TIMEOUT
    except (TypeError, ValueError):  # not a time at all
        return False


def oidc() -> Oidc:
    assert settings.OIDC is not None  # else nothing leads here
    return settings.OIDC


def sign_in_failed(request: HttpRequest, reason: str) -> HttpResponse:
    """`reason` goes into the log. It is a word, as an error's text may hold what was sent."""
    log.warning("Failed sign-in by OpenID Connect from %s: %s", client_ip(request), reason)
    text = _("Signing in with %(name)s did not work. Try again, or use your password.")
    return back_to_sign_in(request, text)


def back_to_sign_in(request: HttpRequest, text: str) -> HttpResponse:
    """With a sentence, in which %(name)s is the provider's name."""
    messages.error(request, text % {"name": oidc().name})
    return redirect("accounts:sign_in")


def _is_invited(next_page: str) -> bool:
    """Whether the page to go to afterwards is that of a usable invitation."""
    try:
        match = resolve(next_page.partition("?")[0])
    except Resolver404:
        return False
    invited = match.view_name == "accounts:join"
    return invited and services.invitation_for(match.kwargs["secret"]) is not None
