"""Sign-in by OpenID Connect: to the provider, and back. Both import requests when first used."""

from allauth.account.app_settings import REAUTHENTICATION_TIMEOUT
from allauth.socialaccount.adapter import get_adapter
from django.http import Http404, HttpResponse

from finetune_app.accounts.access import account, public
from finetune_app.accounts.next_page import next_page
from finetune_app.accounts.oidc import AGAIN, PROVIDER_ID
from finetune_app.accounts.oidc_adapter import sign_in_failed
from finetune_app.accounts.requests import HttpRequest
from finetune_app.core.requests import render_page


@public("GET")
def sign_in_oidc(request: HttpRequest, provider_id: str) -> HttpResponse:
    """Redirects to the provider. `again` has it ask who is there even if it knows, and counts as
    an answer to “Is it still you?”."""
    from requests import RequestException

    provider = get_adapter(request).get_provider(request, _known(provider_id))
    again = "again" in request.GET
    asked = {"prompt": "login", "max_age": str(REAUTHENTICATION_TIMEOUT)} if again else {}
    try:
        response: HttpResponse = provider.redirect(
            request, "login", next_page(request), AGAIN if again else None, auth_params=asked
        )
    except (RequestException, KeyError) as error:  # it does not answer, or not as a provider does
        return sign_in_failed(request, type(error).__name__)
    return response


@public("GET")
def oidc_callback(request: HttpRequest, provider_id: str) -> HttpResponse:
    from allauth.socialaccount.providers.openid_connect.views import callback

    try:
        response: HttpResponse = callback(request, _known(provider_id))
    except (KeyError, ValueError) as error:  # an answer without what it has to have
        return sign_in_failed(request, type(error).__name__)
    return response


@account("GET")
def confirm_with_provider(request: HttpRequest) -> HttpResponse:
    """For accounts without a password: sign in again."""
    context = {"next": next_page(request)}
    return render_page(request, "accounts/confirm_with_provider.html", context)


def _known(provider_id: str) -> str:
    if provider_id != PROVIDER_ID:
        raise Http404("no such provider")
    return provider_id
