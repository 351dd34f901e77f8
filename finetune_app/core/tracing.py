"""Optional OpenTelemetry traces of requests and of calls to the engine.

On if OTEL_EXPORTER_OTLP_ENDPOINT is set; needs `.venv/bin/pip install '.[tracing]'` and follows the
standard OTEL_* variables. Otherwise nothing is imported. A span has the route, the outcome and the
duration: no query, text, key or user.
"""

import logging
import os
import re
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Any, Any, Any], Awaitable[None]]

_NUMBER = re.compile(r"(?<=/)\d+(?=/|$)")
# Of an invitation, a job, a file; a link's may have no digit, which words of addresses never have.
_SECRET = re.compile(r"((?<=/)(?=[^/]*\d)|(?<=/(?:join|vote|chat)/))[\w-]{16,}(?=/|$)")
_tracer: Any = None


def traced(app: App) -> App:
    """The application, with a span around each request if tracing is on."""
    return Traced(app) if start() else app


def start() -> bool:
    """Start tracing if it is configured; returns whether it is on."""
    global _tracer
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError:
        log.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, but traces need: "
            ".venv/bin/pip install '.[tracing]'"
        )
        return False
    name = os.environ.get("OTEL_SERVICE_NAME", "finetune")
    provider = TracerProvider(resource=Resource.create({"service.name": name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _tracer = provider.get_tracer("finetune")
    return True


@contextmanager
def span(name: str, **attributes: str | int | float | bool) -> Iterator[Any]:
    """A child span of the request's; does nothing if tracing is off. It is not made the current
    span, so that a generator may hold it across yields."""
    if _tracer is None:
        yield None
        return
    one = _tracer.start_span(name, attributes=attributes)
    try:
        yield one
    except BaseException as problem:
        one.set_attribute("error.type", type(problem).__name__)  # its message may contain user data
        raise
    finally:
        one.end()


def route_of(path: str) -> str:
    """The path without ids: /goals/7/deployment/ becomes /goals/{n}/deployment/."""
    return _SECRET.sub("{id}", _NUMBER.sub("{n}", path))


class Traced:
    """ASGI middleware with a span around each HTTP request."""

    def __init__(self, app: App) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        from opentelemetry import propagate
        from opentelemetry.trace import SpanKind, Status, StatusCode

        headers = {
            name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]
        }
        route = route_of(scope["path"])
        given = {"http.request.method": scope["method"], "http.route": route}
        with _tracer.start_as_current_span(
            f"{scope['method']} {route}",
            context=propagate.extract(headers),
            kind=SpanKind.SERVER,
            attributes=given,
            record_exception=False,
            set_status_on_exception=False,
        ) as one:

            async def answer(message: MutableMapping[str, Any]) -> None:
                if message["type"] == "http.response.start":
                    one.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        one.set_status(Status(StatusCode.ERROR))
                await send(message)

            await self.app(scope, receive, answer)
