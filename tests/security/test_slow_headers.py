"""Headers that never end do not hold connections open, nor fill the memory."""

import socket
from contextlib import ExitStack, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from finetune_app.core import header_limits
from tests.live_server import serving


@pytest.fixture
def place(monkeypatch):
    """(host, port) of a web whose limit for headers is short."""
    monkeypatch.setattr(header_limits, "HEADER_TIMEOUT_SECONDS", 0.5)
    with serving() as address:
        found = urlsplit(address)
        yield found.hostname, found.port


@pytest.mark.parametrize("sent", [b"", b"GET / HT", b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"])
def test_connections_without_whole_headers_are_closed(place, sent):
    """2,000 of these stayed open for as long as their sender liked."""
    with ExitStack() as stack:
        lines = [stack.enter_context(socket.create_connection(place, 30)) for _ in range(50)]
        for line in lines:
            line.sendall(sent)
        assert [line.recv(1000) for line in lines] == [b""] * 50


def test_a_second_request_has_the_same_limit(place):
    request = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with socket.create_connection(place, 30) as line:
        line.sendall(request)
        answer = b""
        while not answer.endswith(b'{"status": "ok"}'):
            answer += line.recv(10_000)
        line.sendall(request[:20])
        assert line.recv(1000) == b""


def test_whole_requests_on_one_connection_are_answered(place):
    with httpx.Client(base_url=f"http://{place[0]}:{place[1]}") as http:
        assert [http.get("/livez").status_code for _ in range(3)] == [200] * 3


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
LINES = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 500) for n in range(200))


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(HEAD + LINES, id="many headers"),
        pytest.param(HEAD + b"X: " + b"a" * 1_000_000, id="one header"),
        pytest.param(b"GET /" + b"a" * 1_000_000, id="an address"),
        pytest.param(CHUNKED + b"0\r\n" + LINES, id="headers after the body"),
        pytest.param(CHUNKED + b"0\r\nX: " + b"a" * 1_000_000, id="one header after the body"),
        pytest.param(CHUNKED + b"5; " + b"a" * 1_000_000, id="what is said of a chunk"),
    ],
)
def test_what_never_ends_is_refused(place, sent):
    """The rest never comes, and what is here already would be kept."""
    with socket.create_connection(place, 30) as line:
        with suppress(ConnectionError):  # it need not read all of it
            line.sendall(sent)
        assert answered_400(line)


def answered_400(line: socket.socket) -> bool:
    """Or the line is closed, whose unread rest can be quicker than the answer."""
    try:
        return b" 400 " in line.recv(10_000)
    except ConnectionError:
        return True


def test_long_headers_below_the_limit_are_read(place):
    with httpx.Client(base_url=f"http://{place[0]}:{place[1]}") as http:
        for _again in range(2):
            assert http.get("/livez", headers={"X-Long": "a" * 60_000}).status_code == 200


def test_a_long_body_in_pieces_is_no_header(place):
    pieces = (b"a" * 50_000 for _ in range(40))
    with httpx.Client(base_url=f"http://{place[0]}:{place[1]}") as http:
        answer = http.post("/v1/chat/completions", content=pieces)
    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "missing_api_key")
