"""What the stand-ins for training platforms share: a server on loopback, and faults on demand.

`faults` are used up one by one: each belongs to a method and a path, and says what goes wrong with
it.
"""

import contextlib
import json
import os
import re
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.parser import BytesParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import urlsplit

KEY = "sk-platform-secret-0123456789"


@dataclass
class Fault:
    """status: answered instead, after the request was carried out if `late`. Without a status the
    connection is closed. code: of OpenAI's errors. content: a page that is answered instead of
    JSON. kill: who asked is killed, too."""

    method: str
    path: str  # regular expression of the whole path
    status: int | None = None
    message: str = "an error of the platform"
    code: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    late: bool = False
    kill: bool = False
    content: bytes | None = None


class LoopbackPlatform:
    """One platform. Subclasses answer its requests in `route`.

    requests: method and path of what Finetune asks for, by what it is for.
    """

    kind: ClassVar[str]  # in platform_kinds.py
    base: ClassVar[str] = "/v1"  # of its paths
    model: ClassVar[str]  # that can be trained there
    states: ClassVar[dict[str, str]]  # its words for validating, running, succeeded, failed
    requests: ClassVar[dict[str, tuple[str, str]]]
    options: ClassVar[dict[str, str]] = {}  # of the account

    def __init__(self) -> None:
        self.key = KEY
        self.jobs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, tuple[str, bytes]] = {}
        self.posted: list[dict[str, Any]] = []  # bodies with which jobs were started
        self.uploads: list[str] = []
        self.asked: list[str] = []  # paths, in order
        self.headers: dict[str, str] = {}  # of the last request
        self.faults: list[Fault] = []
        self.victim: int | None = None  # the process that a fault kills
        stub = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                stub.answer(self)

            def handle(self) -> None:
                with contextlib.suppress(ConnectionError):  # the client went
                    super().handle()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

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
        return f"http://{self.place}{self.base}"

    @property
    def secret(self) -> str:
        """What the account has as its key."""
        return KEY

    @property
    def job(self) -> dict[str, Any]:
        """The only one."""
        [found] = self.jobs.values()
        return found

    def fault(self, what: str, **fields: Any) -> Fault:
        """One with what Finetune asks for under this name."""
        method, path = self.requests[what]
        return Fault(method, path, **fields)

    # ---- Requests ----

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        body = to.rfile.read(int(to.headers.get("Content-Length") or 0))
        path = urlsplit(to.path).path.removeprefix(self.base)
        self.asked.append(path)
        self.headers = {name.lower(): value for name, value in to.headers.items()}
        fault = self._next_fault(to.command, path)
        if not self.is_allowed(to, path):
            return send(
                to,
                401,
                self.error(401, f"Incorrect API key provided: {to.headers['Authorization']}"),
            )
        if fault and not fault.late:
            return self._fail(to, fault)
        status, answer, *headers = self.route(to, path, body)
        if fault:
            return self._fail(to, fault)
        return send(to, status, answer, *headers)

    def is_allowed(self, to: BaseHTTPRequestHandler, path: str) -> bool:
        return to.headers.get("Authorization") == f"Bearer {self.key}"

    def route(self, to: BaseHTTPRequestHandler, path: str, body: bytes) -> Any:
        """Status and answer, and headers if there are any."""
        raise NotImplementedError

    def error(self, status: int, message: str) -> dict[str, Any]:
        return {"error": {"message": message, "type": "invalid_request_error", "code": None}}

    def _fail(self, to: BaseHTTPRequestHandler, fault: Fault) -> None:
        if fault.kill:
            assert self.victim
            os.kill(self.victim, signal.SIGKILL)
        if fault.content is not None:
            _send_content(to, 200, fault.content, {"Content-Type": "text/html", **fault.headers})
        elif fault.status is not None:
            said = self.error(fault.status, fault.message)
            if fault.code:
                said["error"]["code"] = fault.code
            send(to, fault.status, said, fault.headers)
        else:
            to.close_connection = True
            to.connection.shutdown(socket.SHUT_RDWR)

    def _next_fault(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.method == method and re.fullmatch(fault.path, path):
                self.faults.remove(fault)
                return fault
        return None


def form_fields(content_type: str, body: bytes) -> dict[str, Any]:
    """The fields of a multipart form."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    return {
        str(part.get_param("name", header="content-disposition")): part.get_payload()
        for part in BytesParser().parsebytes(head + body).get_payload()
    }


def chat(answer: str) -> dict[str, Any]:
    """The whole answer, as a server that does not stream."""
    message = {"role": "assistant", "content": answer}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    return {"choices": [choice], "usage": usage}


def send(
    to: BaseHTTPRequestHandler, status: int, body: Any, headers: dict[str, str] | None = None
) -> None:
    given = {"Content-Type": "application/json", **(headers or {})}
    _send_content(to, status, json.dumps(body).encode(), given)


def _send_content(
    to: BaseHTTPRequestHandler, status: int, content: bytes, headers: dict[str, str]
) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name, value)
    to.send_header("Content-Length", str(len(content)))
    to.end_headers()
    with contextlib.suppress(ConnectionError):  # it may not be read to its end
        to.wfile.write(content)


@contextmanager
def running(stub: type[LoopbackPlatform]) -> Iterator[Any]:
    platform = stub()
    try:
        yield platform
    finally:
        platform.server.shutdown()
        platform.server.server_close()
