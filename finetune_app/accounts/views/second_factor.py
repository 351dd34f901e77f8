"""The second factor: codes of an app, passkeys, recovery codes.

The views are allauth's, with our templates. They load fido2 and its lists, 5 MB, so each is
imported when it is first used.
"""

from allauth.mfa.models import Authenticator
from django.db.models import QuerySet
from django.http import HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext as _

from finetune_app.accounts import services
from finetune_app.accounts.access import account, public
from finetune_app.accounts.requests import HttpRequest
from finetune_app.accounts.views.allauth_views import show
from finetune_app.core.errors import PlainError
from finetune_app.core.requests import render_page

# ---- In the account ----


@account("GET")
def second_factor(request: HttpRequest) -> HttpResponse:
    context = {
        "app": _mine(request, Authenticator.Type.TOTP).first(),
        "passkeys": _mine(request, Authenticator.Type.WEBAUTHN),
        "recovery_codes": _mine(request, Authenticator.Type.RECOVERY_CODES).first(),
        "passkeys_work": services.passkeys_work(request),
    }
    return render_page(request, "accounts/second_factor.html", context)


def _mine(request: HttpRequest, kind: Authenticator.Type) -> QuerySet[Authenticator]:
    mine: QuerySet[Authenticator] = Authenticator.objects.filter(user=request.user, type=kind)
    return mine.order_by("pk")


@account("GET", "POST")
def add_app(request: HttpRequest) -> HttpResponse:
    from allauth.mfa.totp.views import ActivateTOTPView

    return show(ActivateTOTPView, "accounts/add_app.html", request)


@account("GET", "POST")
def remove_app(request: HttpRequest) -> HttpResponse:
    from allauth.mfa.totp.views import DeactivateTOTPView

    if not _mine(request, Authenticator.Type.TOTP):
        return redirect("mfa_index")
    return show(DeactivateTOTPView, "accounts/remove_app.html", request)


@account("GET")
def recovery_codes(request: HttpRequest) -> HttpResponse:
    """Shows them once."""
    from allauth.mfa.recovery_codes.views import ViewRecoveryCodesView

    if not _mine(request, Authenticator.Type.RECOVERY_CODES):
        return redirect("mfa_index")
    return show(ViewRecoveryCodesView, "accounts/recovery_codes.html", request)


@account("GET", "POST")
def new_recovery_codes(request: HttpRequest) -> HttpResponse:
    from allauth.mfa.recovery_codes.views import GenerateRecoveryCodesView

    return show(GenerateRecoveryCodesView, "accounts/new_recovery_codes.html", request)


@account("GET", "POST")
def add_passkey(request: HttpRequest) -> HttpResponse:
    from allauth.mfa.webauthn.views import AddWebAuthnView

    try:
        return show(AddWebAuthnView, "accounts/add_passkey.html", request)
    except ValueError as error:  # allauth catches what a browser sends, not what others make up
        raise PlainError(_("That is no passkey. Add it on this page, with a browser.")) from error


@account("GET", "POST")
def remove_passkey(request: HttpRequest, passkey_id: int) -> HttpResponse:
    from allauth.mfa.webauthn.views import RemoveWebAuthnView

    get_object_or_404(_mine(request, Authenticator.Type.WEBAUTHN), pk=passkey_id)
    return show(RemoveWebAuthnView, "accounts/remove_passkey.html", request, pk=passkey_id)


# ---- At the sign-in ----


@public("GET", "POST")
def sign_in_code(request: HttpRequest) -> HttpResponse:
    """Ask for a code or a passkey, after the password."""
    from allauth.mfa.base.views import AuthenticateView

    return show(AuthenticateView, "accounts/sign_in_code.html", request)


@public("GET", "POST")
def sign_in_passkey(request: HttpRequest) -> HttpResponse:
    """Sign in with a passkey alone. GET gives the browser its options, as JSON."""
    from allauth.mfa.webauthn.views import LoginWebAuthnView

    return show(LoginWebAuthnView, "accounts/sign_in.html", request)
