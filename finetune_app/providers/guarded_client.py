"""What the HTTP clients of the official libraries share: they connect only to addresses that were
checked, and read no answer of any size.

The same guard as for remote models (providers/guard.py). The libraries use two: httpx
(guarded_httpx.py) and its successor httpx2 (guarded_httpx2.py), which have the same classes.
"""

import socket
import time
from collections.abc import Collection, Iterator
from typing import Any

import httpx

from finetune_app.providers import guard

TIMEOUT_SECONDS, CONNECT_SECONDS, WRITE_SECONDS = 60.0, 10.0, 600.0
HEADERS = {"Accept-Encoding": "identity"}
MAX_ANSWER_BYTES = 16_000_000
MAX_ANSWER_SECONDS = 120.0
SLOWEST_BYTES_A_SECOND = 100_000


class BoundedBody:
    """The body of an answer. Raises ValueError where it is too long, or comes too slowly.

    most_bytes: of a file whose size is known (the request's extension of this name).
    """

    def __init__(self, inner: Any, most_bytes: int | None = None) -> None:
        self.inner, self.most_bytes = inner, most_bytes

    def __iter__(self) -> Iterator[bytes]:
        most = MAX_ANSWER_BYTES if self.most_bytes is None else self.most_bytes
        seconds = MAX_ANSWER_SECONDS + (self.most_bytes or 0) / SLOWEST_BYTES_A_SECOND
        size, until = 0, time.monotonic() + seconds
        for chunk in self.inner:
            size += len(chunk)
            if size > most or time.monotonic() > until:
                raise ValueError("the answer is too long")
            yield chunk

    def close(self) -> None:
        self.inner.close()


class Guarded:
    """A transport of `library`, httpx or httpx2, without its base class.

    allowed: hosts with their ports whose addresses may be private (ENDPOINTS_ALLOWED). A platform
    may name other hosts, such as a storage for files: those are held to it, too.
    """

    library: Any
    body: type[BoundedBody]

    def __init__(self, allowed: Collection[str]) -> None:
        self.allowed = allowed
        self.inner = self.library.HTTPTransport(trust_env=False, retries=0)

    def handle_request(self, request: Any) -> Any:
        url = httpx.URL(str(request.url))
        private = self.may_be_private(url)
        guard.check(url, private=private)
        host = guard.host_of(url)
        try:
            addresses = _resolve(host, url.port or guard.DEFAULT_PORTS[url.scheme])
        except OSError as problem:
            raise self.library.ConnectError(f"{host} was not found.") from problem
        if not private and not all(map(guard.is_public, addresses)):
            raise guard.private_address()
        refused: Exception = self.library.ConnectError(f"{host} was not found.")
        for address in addresses:
            try:
                response = self.inner.handle_request(self._towards(request, address, host))
                return self._bounded(response, request.extensions.get("most_bytes"))
            except (self.library.ConnectError, self.library.ConnectTimeout) as problem:
                refused = problem  # perhaps no route to this address: try the next
        raise refused

    def may_be_private(self, url: httpx.URL) -> bool:
        return guard.host_and_port(url) in self.allowed

    def _towards(self, request: Any, address: str, host: str) -> Any:
        """The same request to one address, with the name in the Host header and for TLS."""
        return self.library.Request(
            request.method,
            request.url.copy_with(host=address),
            headers=request.headers,  # include Host, made from the name
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": host},
        )

    def _bounded(self, response: Any, most_bytes: int | None) -> Any:
        """Raises ValueError where the answer is compressed, which nobody asked for: it could unfold
        to any size."""
        if response.headers.get("content-encoding", "identity") != "identity":
            response.close()
            raise ValueError("the answer is compressed")
        response.stream = self.body(response.stream, most_bytes)
        return response

    def close(self) -> None:
        self.inner.close()


def _resolve(host: str, port: int) -> list[str]:
    """Raises OSError where it is not found."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as problem:
        raise OSError(f"{host} is no name") from problem
    return list(dict.fromkeys(str(where[0]) for *_rest, where in found))
