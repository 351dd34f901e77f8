"""The engine dies while it answers: clients get an error in OpenAI's format."""

import json
import socketserver
import threading

import httpx
import openai
import pytest

from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, MODEL, ask
from tests.worker.conftest import wait_for


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
