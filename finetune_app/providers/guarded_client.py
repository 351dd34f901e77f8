"""The HTTP client of the official libraries, connected only to addresses that were checked.

The same guard as for remote models (providers/guard.py), for the fork of httpx that they use.
"""

import socket
import time
from collections.abc import Iterator

import httpx
import httpx2

from finetune_app.providers import guard

TIMEOUT = httpx2.Timeout(60.0, connect=10.0, write=600.0)
MAX_ANSWER_BYTES = 16_000_000
MAX_ANSWER_SECONDS = 120.0


class BoundedStream(httpx2.SyncByteStream):
    """The body of an answer. Raises ValueError where it is too long, or comes too slowly."""

    def __init__(self, inner: httpx2.SyncByteStream) -> None:
        self.inner = inner

    def __iter__(self) -> Iterator[bytes]:
        size, until = 0, time.monotonic() + MAX_ANSWER_SECONDS
        for chunk in self.inner:
            size += len(chunk)
            if size > MAX_ANSWER_BYTES or time.monotonic() > until:
                raise ValueError("the answer is too long")
            yield chunk

    def close(self) -> None:
        self.inner.close()


class GuardedTransport(httpx2.BaseTransport):
    """private: the host and port are in ENDPOINTS_ALLOWED, so the address may be private."""

    def __init__(self, *, private: bool) -> None:
        self.private = private
        self.inner = httpx2.HTTPTransport(trust_env=False, retries=0)

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        url = httpx.URL(str(request.url))
        guard.check(url, private=self.private)
        host = guard.host_of(url)
        addresses = _resolve(host, url.port or guard.DEFAULT_PORTS[url.scheme])
        if not self.private and not all(map(guard.is_public, addresses)):
            raise guard.private_address()
        refused: Exception = httpx2.ConnectError(f"{host} was not found.")
        for address in addresses:
            try:
                return _bounded(self.inner.handle_request(_towards(request, address, host)))
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as problem:
                refused = problem  # perhaps no route to this address: try the next
        raise refused

    def close(self) -> None:
        self.inner.close()


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise httpx2.ConnectError(f"{host} was not found.") from problem
    return list(dict.fromkeys(str(where[0]) for *_rest, where in found))


def _towards(request: httpx2.Request, address: str, host: str) -> httpx2.Request:
    """The same request to one address, with the name in the Host header and for TLS."""
    return httpx2.Request(
        request.method,
        request.url.copy_with(host=address),
        headers=request.headers,  # include Host, made from the name
        stream=request.stream,
        extensions=request.extensions | {"sni_hostname": host},
    )


def _bounded(response: httpx2.Response) -> httpx2.Response:
    """Raises ValueError where the answer is compressed, which nobody asked for: it could unfold to
    any size."""
    if response.headers.get("content-encoding", "identity") != "identity":
        response.close()
        raise ValueError("the answer is compressed")
    assert isinstance(response.stream, httpx2.SyncByteStream)
    response.stream = BoundedStream(response.stream)
    return response


def guarded_client(*, private: bool) -> httpx2.Client:
    return httpx2.Client(
        transport=GuardedTransport(private=private),
        headers={"Accept-Encoding": "identity"},
        trust_env=False,
        follow_redirects=False,
        timeout=TIMEOUT,
    )
