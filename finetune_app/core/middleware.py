"""Response headers, and pages for PlainError."""

from collections.abc import Callable

from django.db import DataError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.deprecation import MiddlewareMixin
from django.utils.translation import gettext as _

from finetune_app.core.errors import PlainError

PRIVATE_HEADERS = {
    "Cache-Control": "private, no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}


class PrivateMiddleware(MiddlewareMixin):
    """Responses are private: not for shared caches, not to be embedded by other sites.

    Browsers keep no copy, so that none is left on a shared computer. Static files set their own
    header.
    """

    def process_response(self, request: HttpRequest, response: HttpResponse) -> HttpResponse:
        for name, value in PRIVATE_HEADERS.items():
            response.headers.setdefault(name, value)
        return response


class PlainErrorMiddleware:
    """Renders a PlainError from a view as an error page."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        if _has_nul(error):
            error = PlainError(
                _("That text holds a character that cannot be kept (NUL). Remove it and try again.")
            )
        if not isinstance(error, PlainError):
            return None
        return render(request, "errors/plain.html", {"error": error}, status=error.status)


def _has_nul(error: Exception) -> bool:
    """Whether a parameter contains NUL, which PostgreSQL rejects in any text."""
    return isinstance(error, DataError | ValueError) and "NUL" in str(error)
