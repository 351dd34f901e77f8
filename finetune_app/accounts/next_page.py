"""Where to redirect after a form: only to pages of this site."""

from django.conf import settings
from django.http import HttpRequest
from django.shortcuts import resolve_url
from django.utils.http import url_has_allowed_host_and_scheme


def next_page(request: HttpRequest, *, otherwise: str = "") -> str:
    """The `next` of the form or address if it is safe, else `otherwise` or the home page."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    if is_ours(request, wanted):
        return wanted
    return resolve_url(otherwise or settings.LOGIN_REDIRECT_URL)


def page_before(request: HttpRequest) -> str:
    """The page that the form was sent from (the Referer), if it is one of this site."""
    wanted = request.POST.get("next") or request.headers.get("Referer", "")
    return wanted if is_ours(request, wanted) else resolve_url(settings.LOGIN_REDIRECT_URL)


def is_ours(request: HttpRequest, address: str) -> bool:
    return url_has_allowed_host_and_scheme(
        address, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
