"""Traces: off by default; spans have route and outcome, and no user data."""

import asyncio

import pytest

from finetune_app.core import tracing


async def answering(scope, receive, send):
    with tracing.span("engine.chat", requests=1):
        await send({"type": "http.response.start", "status": 503})
    await send({"type": "http.response.body"})


def test_without_configuration_tracing_is_off(monkeypatch):
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    assert tracing.traced(answering) is answering
    with tracing.span("anything") as nothing:
        assert nothing is None


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/goals/7/deployment/requests/12/", "/goals/{n}/deployment/requests/{n}/"),
        ("/join/aB3_x9Qw-e8rT5yU7iO0p/", "/join/{id}/"),
        ("/join/aBxxQw-eRTrTyUiOpLkJhGfD/", "/join/{id}/"),  # by chance without a digit
        ("/vote/aBxxQw-eRTrTyUiOpLkJhGfD/next/", "/vote/{id}/next/"),
        ("/chat/aBxxQw-eRTrTyUiOpLkJhGfD/", "/chat/{id}/"),
        ("/v1/chat/completions", "/v1/chat/completions"),
        ("/v1/fine_tuning/jobs/ftjob-0123456789abcdef/cancel", "/v1/fine_tuning/jobs/{id}/cancel"),
    ],
)
def test_spans_name_routes_without_ids(path, route):
    assert tracing.route_of(path) == route


@pytest.fixture
def spans(monkeypatch):
    export = pytest.importorskip("opentelemetry.sdk.trace.export")
    memory = pytest.importorskip("opentelemetry.sdk.trace.export.in_memory_span_exporter")
    from opentelemetry.sdk.trace import TracerProvider

    exporter, provider = memory.InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(export.SimpleSpanProcessor(exporter))
    monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
    return exporter.get_finished_spans


def call(app, path="/goals/7/", query=b"q=my+pump", headers=()):
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": query,
        "headers": list(headers),
    }
    sent = []

    async def send(message):
        sent.append(message)

    asyncio.run(app(scope, None, send))
    return sent


def test_a_request_and_what_it_asked_the_engine(spans):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    parent = (b"traceparent", f"00-{trace}-00f067aa0ba902b7-01".encode())
    assert len(call(tracing.Traced(answering), headers=[parent])) == 2
    engine, request = spans()
    assert (engine.name, request.name) == ("engine.chat", "GET /goals/{n}/")
    assert engine.parent.span_id == request.context.span_id
    assert f"{request.context.trace_id:032x}" == trace
    assert request.attributes["http.response.status_code"] == 503
    assert not request.status.is_ok
    assert "pump" not in request.to_json()


def test_exceptions_are_traced_by_type_only(spans):
    async def broken(scope, receive, send):
        with tracing.span("engine.chat"):
            raise ValueError("my pump leaks")

    with pytest.raises(ValueError, match="pump"):
        call(tracing.Traced(broken))
    engine, request = spans()
    assert engine.attributes["error.type"] == "ValueError"
    assert "pump" not in engine.to_json() + request.to_json()


def test_a_missing_package_is_reported(monkeypatch, caplog):
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setitem(__import__("sys").modules, "opentelemetry", None)
    assert tracing.traced(answering) is answering
    assert ".[tracing]" in caplog.text
