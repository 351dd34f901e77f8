"""Bounds how many requests a web process handles at once.

Each of them has a thread, and may hold a database connection. Without a bound, more requests than
the machine can answer make all of them slow, and PostgreSQL refuses connections. So a few are
handled, some wait a little, and the rest is told at once to come back.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext as _

RETRY_AFTER_SECONDS = 3


class TooBusy(Exception):
    """Too many requests are waiting, or this one has waited too long."""


class RequestLimit:
    """Places for `at_once` requests; `waiting` more wait for one, up to `wait_seconds` each."""

    def __init__(self, at_once: int, waiting: int, wait_seconds: float) -> None:
        self._free = asyncio.Semaphore(at_once)
        self._may_wait = waiting
        self._wait_seconds = wait_seconds

    @asynccontextmanager
    async def place(self) -> AsyncIterator[None]:
        """Raises TooBusy."""
        if self._free.locked() and not self._may_wait:
            raise TooBusy
        self._may_wait -= 1
        try:
            async with asyncio.timeout(self._wait_seconds):
                await self._free.acquire()
        except TimeoutError:
            raise TooBusy from None
        finally:
            self._may_wait += 1
        try:
            yield
        finally:
            self._free.release()


def too_busy(request: HttpRequest) -> HttpResponse:
    """503 with Retry-After: in OpenAI's format for the API, else a page that loads itself again."""
    response: HttpResponse
    if request.path.startswith("/v1/"):
        message = _("The server is busy. Try again in a few seconds.")
        error = {"message": message, "type": "server_error", "param": None, "code": "server_busy"}
        response = JsonResponse({"error": error}, status=503)
    else:
        page = render_to_string("errors/503.html")
        response = HttpResponse(page, status=503)
        if request.method == "GET":
            response.headers["Refresh"] = str(RETRY_AFTER_SECONDS)
    response.headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"  # no middleware has seen this response
    response.headers["X-Frame-Options"] = "DENY"
    return response
