"""Django's handler, once for pages and once for the API.

Each request gets a thread, as with Django's own handler, but the thread goes on to the next request
and keeps its connection to an SQLite database. The API, which knows no sessions, has less
middleware (core/api_middleware.py), and it runs on the event loop.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest, HttpResponseBase

from finetune_app.core import call_stack, connections
from finetune_app.core.api_middleware import API_MIDDLEWARE, MiddlewareOnEventLoop
from finetune_app.core.asgi_types import Receive, Scope, Send
from finetune_app.core.request_limits import RequestLimit, TooBusy, too_busy

KEPT_THREADS = 24  # while nobody needs them


class RequestThread(ThreadPoolExecutor):
    """One thread, in which templates may call as deep as they like."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        return super().submit(call_stack.call, fn, *args, **kwargs)


class RequestThreads:
    """A thread for each request. `kept` of them wait for the next one."""

    def __init__(self, kept: int = KEPT_THREADS) -> None:
        self._kept = kept
        self._free: list[RequestThread] = []

    @asynccontextmanager
    async def one(self) -> AsyncIterator[None]:
        """Meanwhile thread-sensitive code, so all that asks the database, runs in one thread."""
        # The one used last, so that no more of them than needed have a connection.
        thread = self._free.pop() if self._free else RequestThread()
        try:
            async with ThreadSensitiveContext(executor=thread):
                yield
        finally:
            # Once it has done what it was given: of a request that was broken off, it may still
            # compute a page.
            thread.submit(self._end, thread, asyncio.get_running_loop())

    def _end(self, thread: RequestThread, loop: asyncio.AbstractEventLoop) -> None:
        """In the thread itself."""
        try:
            connections.give_back()  # where Django did not, as for an answer that nobody took
        finally:
            loop.call_soon_threadsafe(self._take_back, thread)

    def _take_back(self, thread: RequestThread) -> None:
        if len(self._free) < self._kept:
            self._free.append(thread)
        else:
            thread.shutdown(wait=False)


class LimitedHandler(ASGIHandler):
    """A request has a place of the limit from when its body has arrived until its response begins,
    so slow uploads and streams hold none."""

    def __init__(self, threads: RequestThreads, limit: RequestLimit) -> None:
        super().__init__()
        self.threads, self.limit = threads, limit

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self.threads.one():
            await self.handle(scope, receive, send)

    async def run_get_response(self, request: HttpRequest) -> HttpResponseBase:
        try:
            async with self.limit.place():
                return await super().run_get_response(request)
        except TooBusy:
            return too_busy(request)


class ApiHandler(LimitedHandler):
    def load_middleware(self, is_async: bool = True) -> None:
        """In place of Django's, which reads settings.MIDDLEWARE."""
        handler: Any = self  # Django gives its attributes no types
        handler._view_middleware = []
        handler._template_response_middleware = []
        handler._exception_middleware = []
        view = convert_exception_to_response(handler._get_response_async)
        chain = MiddlewareOnEventLoop(view, API_MIDDLEWARE)
        handler._middleware_chain = convert_exception_to_response(chain)


class PagesAndApi:
    """A limit for pages and one for the API, whose requests mostly wait for a model."""

    def __init__(self) -> None:
        threads = RequestThreads()
        self.pages = LimitedHandler(threads, RequestLimit(16, waiting=100, wait_seconds=5.0))
        self.api = ApiHandler(threads, RequestLimit(100, waiting=100, wait_seconds=5.0))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise ValueError(f"Only HTTP is served, not {scope['type']}.")
        handler = self.api if scope["path"].startswith("/v1/") else self.pages
        await handler(scope, receive, send)
