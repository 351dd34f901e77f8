"""Asks again who is there, before a change that would let somebody else in.

allauth redirects here from its own views; afterwards one is where one wanted to go.
"""

from allauth.account.views import ReauthenticateView
from django.http import HttpResponse
from django.views.decorators.debug import sensitive_post_parameters

from finetune_app.accounts.access import account
from finetune_app.accounts.requests import HttpRequest
from finetune_app.accounts.views.allauth_views import show


@account("GET", "POST")
@sensitive_post_parameters("password")
def confirm_with_password(request: HttpRequest) -> HttpResponse:
    return show(ReauthenticateView, "accounts/confirm_with_password.html", request)


@account("GET", "POST")
def confirm_with_code(request: HttpRequest) -> HttpResponse:
    from allauth.mfa.base.views import ReauthenticateView as CodeView

    return show(CodeView, "accounts/confirm_with_code.html", request)


@account("GET", "POST")
def confirm_with_passkey(request: HttpRequest) -> HttpResponse:
    from allauth.mfa.webauthn.views import ReauthenticateWebAuthnView

    return show(ReauthenticateWebAuthnView, "accounts/confirm_with_passkey.html", request)
