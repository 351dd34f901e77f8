"""The middleware of the API: what is left of settings.MIDDLEWARE where there are no sessions."""

from collections.abc import Callable, Sequence
from inspect import isawaitable
from typing import Any

from asgiref.sync import markcoroutinefunction
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase
from django.utils.module_loading import import_string

API_MIDDLEWARE = (
    "finetune_app.monitoring.middleware.RequestMetricsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "finetune_app.core.middleware.PrivateMiddleware",
    "csp.middleware.CSPMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "finetune_app.audit.middleware.ApiAuditMiddleware",
)


class MiddlewareOnEventLoop:
    """Calls `process_request` and `process_response` of middleware that only looks at headers on
    the event loop. Django would call each in a thread, which takes longer than what it does there.

    `process_response` may be asynchronous, where it asks the database.
    """

    def __init__(
        self,
        get_response: Callable[[HttpRequest], Any],
        names: Sequence[str],
    ) -> None:
        self._get_response = get_response
        self._layers: list[Any] = [import_string(name)(get_response) for name in names]
        self._answer: Any = convert_exception_to_response(self._first_response)
        markcoroutinefunction(self)

    async def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response: HttpResponseBase = await self._answer(request)
        for layer in reversed(self._layers):
            if hasattr(layer, "process_response"):
                found = layer.process_response(request, response)
                response = await found if isawaitable(found) else found
        return response

    async def _first_response(self, request: HttpRequest) -> HttpResponseBase:
        for layer in self._layers:
            if hasattr(layer, "process_request"):
                response: HttpResponseBase | None = layer.process_request(request)
                if response is not None:  # such as a redirect to HTTPS
                    return response
        found: HttpResponseBase = await self._get_response(request)
        return found
