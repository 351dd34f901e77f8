"""Headers that never end do not hold connections open, nor fill the memory."""

import socket
from contextlib import ExitStack
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


def test_headers_that_never_end_are_refused(place):
    """Each line is short, and the last one never comes."""
    more = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 500) for n in range(2000))
    with socket.create_connection(place, 30) as line:
        line.sendall(
            b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + more[: header_limits.MAX_HEADER_BYTES]
        )
        assert line.recv(1000).startswith(b"HTTP/1.1 400")
        assert line.recv(1000) == b""


def test_long_headers_below_the_limit_are_read(place):
    with httpx.Client(base_url=f"http://{place[0]}:{place[1]}") as http:
        for _again in range(2):
            assert http.get("/livez", headers={"X-Long": "a" * 60_000}).status_code == 200
