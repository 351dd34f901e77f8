"""The engine dies while it answers: clients get an error in OpenAI's format."""

import json
import socketserver
import threading
from dataclasses import replace

import httpx
import openai
import pytest

from finetune_app.candidates import inference
from finetune_app.core import engine_client
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, MODEL, ask
from tests.worker.conftest import wait_for

PASSAGE = {
    "document": 7,
    "name": "handbook.md",
    "title": "Pumps",
    "page": 3,
    "at": 120,
    "text": "The pump is rated 90 W.",
    "score": 1.0,
    "why": "words",
}


class Dying(socketserver.StreamRequestHandler):
    """An engine that sends one chunk and closes the connection."""

    def handle(self) -> None:
        length = 0
        while (line := self.rfile.readline().strip()) != b"":
            name, _colon, value = line.partition(b":")
            length = int(value) if name.lower() == b"content-length" else length
        self.rfile.read(length)
        chunk = b'{"candidate": "0", "text": "Hello"}\n'
        self.wfile.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n%s\r\n" % (len(chunk), chunk)
        )


@pytest.fixture
def dying(live, settings, tmp_path):
    settings.ENGINE_SOCKET = tmp_path / "engine.sock"
    with socketserver.ThreadingUnixStreamServer(str(settings.ENGINE_SOCKET), Dying) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield live
        server.shutdown()


def test_a_whole_answer_becomes_a_503_with_retry_after(client, dying):
    with pytest.raises(openai.InternalServerError, match="restarts by itself") as refused:
        ask(client)
    assert (refused.value.status_code, refused.value.code) == (503, "engine_unavailable")
    assert refused.value.type == "server_error"
    assert refused.value.response.headers["retry-after"] == "10"
    wait_for(lambda: Request.objects.filter(status=503, error="engine_unavailable").exists())


def test_a_stream_ends_with_an_error_event(client, dying, address, key):
    body = {"model": MODEL, "messages": HELLO, "stream": True}
    headers = {"Authorization": f"Bearer {key[1]}"}
    reply = httpx.post(f"{address}/chat/completions", json=body, headers=headers)
    *chunks, last = [json.loads(line[6:]) for line in reply.text.splitlines() if line]
    assert reply.status_code == 200
    assert "".join(one["choices"][0]["delta"].get("content", "") for one in chunks) == "Hello"
    assert all(one["choices"][0]["finish_reason"] is None for one in chunks)
    assert set(last) == {"error"}
    assert (last["error"]["type"], last["error"]["code"]) == ("server_error", "engine_unavailable")
    with pytest.raises(openai.APIError, match="restarts by itself"):
        list(ask(client, stream=True))
    wait_for(lambda: Request.objects.filter(status=503, streamed=True).count() == 2)


@pytest.fixture
def looks_up(live, monkeypatch):
    """The deployment looks its answers up in documents."""
    request_for = inference.request_for

    def with_documents(candidate):
        request = request_for(candidate)
        return replace(
            request,
            prompt_template=replace(request.prompt_template, grounded=True),
            retrieval={"index": "/index", "count": 1, "whole": False},
        )

    async def search(_index, _question, **_more):
        return [PASSAGE]

    monkeypatch.setattr(inference, "request_for", with_documents)
    monkeypatch.setattr(engine_client, "search", search)
    return live


@pytest.mark.parametrize(("retry_after", "status"), [(5, 429), (None, 503)])
def test_a_stream_with_documents_is_refused_before_it_starts(
    client, looks_up, monkeypatch, retry_after, status
):
    """The passages are there before the model's first word."""

    async def refuses(_base_model, _requests, **_settings):
        raise engine_client.EngineUnavailable("Ask later.", retry_after=retry_after)
        yield

    monkeypatch.setattr(engine_client, "stream_chat", refuses)
    with pytest.raises(openai.APIStatusError, match="Ask later") as refused:
        ask(client, stream=True)
    assert refused.value.status_code == status
    assert refused.value.response.headers["retry-after"] == str(retry_after or 10)
    wait_for(lambda: Request.objects.filter(status=status, streamed=True).count() == 1)


def test_a_stream_with_documents_adds_up_to_the_answer(client, looks_up, said):
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(client, stream=True)]
    assert "".join(pieces) == "Ready."
    assert "90 W" in said["asked"][0]["messages"][-1]["content"]
