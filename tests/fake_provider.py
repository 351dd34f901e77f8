"""A local server with OpenAI's API, for tests of remote models.

The requested model's name selects its behaviour; see `Platform.answers`. A reply that is the name
of an error is answered with that error.
"""

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from django.utils import timezone

from finetune_app.accounts.models import Team, User
from finetune_app.core.encryption import encrypt
from finetune_app.providers.models import Endpoint

KEY = "sk-very-secret-key-0123456789"


class Platform:
    """`requests` records the requests. `say(messages)` returns the answer."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.reply_to: Callable[[list[dict[str, str]]], str] = lambda messages: "It is 5."
        self.hung_up = threading.Event()
        platform = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                platform.requests.append(
                    {"path": self.path, "headers": dict(self.headers.items()), "body": body}
                )
                self.close_connection = True
                try:
                    platform.answers(self, body)
                except (BrokenPipeError, ConnectionResetError):
                    platform.hung_up.set()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True).start()

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    @property
    def url(self) -> str:
        return f"http://{self.place}/v1"

    def endpoint(self, team: Team, user: User, model: str = "kind", **fields: Any) -> Endpoint:
        given: dict[str, Any] = {"name": f"Remote {model}", "url": self.url} | fields
        return Endpoint.objects.create(
            team=team,
            model=model,
            secret=encrypt(KEY),
            consented_by=user,
            consented_at=timezone.now(),
            **given,
        )

    # ---- Behaviour by model name ----

    def answers(self, to: BaseHTTPRequestHandler, body: dict[str, Any]) -> None:
        kind = body["model"]
        said = self.reply_to(body["messages"])
        if said in ERRORS:
            kind = said
        if kind in ERRORS:
            status, headers, message = ERRORS[kind]
            code = "insufficient_quota" if kind == "used up" else None
            _json(to, status, {"error": {"message": message, "code": code}}, headers)
        elif kind == "picky" and (wrong := _not_taken(body)):
            _json(to, 400, {"error": {"message": f"Unsupported parameter: {wrong}"}})
        elif kind == "whole":
            _json(to, 200, _whole(said))
        elif kind == "web page":
            _send(to, 200, "text/html", b"<html>Sign in</html>")
        elif kind == "packed":
            packed = gzip.compress(b"0" * 50_000_000)
            _send(to, 200, "application/json", packed, {"Content-Encoding": "gzip"})
        elif kind == "busy once" and len(self.requests) == 1:
            _json(to, 429, {"error": {"message": "slow down"}}, {"Retry-After": "0"})
        else:
            self._stream(to, kind, said)

    def _stream(self, to: BaseHTTPRequestHandler, kind: str, said: str) -> None:
        to.send_response(200)
        to.send_header("Content-Type", "text/event-stream")
        to.send_header("Connection", "close")
        to.end_headers()
        _event(to, {"choices": [{"delta": {"role": "assistant"}, "finish_reason": None}]})
        if kind == "endless":
            while True:
                _event(to, {"choices": [{"delta": {"content": "x" * 50_000}}]})
        if kind == "slow":
            for _piece in range(200):
                _event(to, {"choices": [{"delta": {"content": "word "}}]})
                time.sleep(0.05)
        for piece in said.split(" ") if kind != "mute" else []:
            _event(to, {"choices": [{"delta": {"content": f"{piece} "}, "finish_reason": None}]})
            if kind == "breaks off":
                return
            if kind == "stumbles":
                _event(to, {"error": {"message": f"overloaded, {KEY}"}})
                return
        _event(to, {"choices": [{"delta": {}, "finish_reason": "stop"}]})
        if kind != "uncounted":
            _event(to, {"choices": [], "usage": {"prompt_tokens": 40, "completion_tokens": 4}})
        to.wfile.write(b"data: [DONE]\n\n")


ERRORS: dict[str, tuple[int, dict[str, str], str]] = {
    "wrong key": (401, {}, f"Incorrect API key provided: {KEY}"),
    "poor": (402, {}, "no credit"),
    "unknown": (404, {}, "The model does not exist"),
    "used up": (429, {}, "You exceeded your current quota"),
    "busy": (429, {"Retry-After": "7"}, "slow down"),
    "broken": (503, {}, f"No capacity for {KEY}."),
    "proxy": (502, {}, "<html><h1>502 Bad Gateway</h1></html>"),
    "no stop": (400, {}, "Unsupported parameter: 'stop' is not supported with this model."),
    "fussy": (400, {}, f"messages: too long\nfor {KEY}"),
    "no credit": (400, {}, "Your credit balance is too low to access the API."),
    "flagged": (403, {}, "Your input was flagged by our moderation."),
    "moved": (302, {"Location": "http://127.0.0.1:1/v1"}, "moved"),
}


def _not_taken(body: dict[str, Any]) -> str:
    """Parameters that newer models reject, one at a time."""
    if "max_tokens" in body:
        return "'max_tokens'. Use 'max_completion_tokens' instead."
    return next((f"'{name}'" for name in ("stream_options", "temperature") if name in body), "")


def _whole(said: str) -> dict[str, Any]:
    return {
        "choices": [{"message": {"role": "assistant", "content": said}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 40, "completion_tokens": 4},
    }


def _event(to: BaseHTTPRequestHandler, value: dict[str, Any]) -> None:
    to.wfile.write(f"data: {json.dumps(value)}\n\n".encode())
    to.wfile.flush()


def _json(
    to: BaseHTTPRequestHandler, status: int, value: Any, headers: dict[str, str] | None = None
) -> None:
    _send(to, status, "application/json", json.dumps(value).encode(), headers)


def _send(
    to: BaseHTTPRequestHandler,
    status: int,
    kind: str,
    body: bytes,
    headers: dict[str, str] | None = None,
) -> None:
    to.send_response(status)
    for name, value in {
        "Content-Type": kind,
        "Content-Length": str(len(body)),
        **(headers or {}),
    }.items():
        to.send_header(name, value)
    to.end_headers()
    to.wfile.write(body)


@contextmanager
def running() -> Iterator[Platform]:
    platform = Platform()
    yield platform
    platform.server.shutdown()
    platform.server.server_close()
