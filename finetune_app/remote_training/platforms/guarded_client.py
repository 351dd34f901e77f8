"""The HTTP client of the official libraries, connected only to addresses that were checked.

The same guard as for remote models (providers/guard.py), for the fork of httpx that they use.
"""

import socket

import httpx
import httpx2

from finetune_app.providers import guard

TIMEOUT = httpx2.Timeout(60.0, connect=10.0, write=600.0)


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
        towards = httpx2.Request(
            request.method,
            request.url.copy_with(host=addresses[0]),
            headers=request.headers,  # include Host, made from the name
            stream=request.stream,
            extensions=request.extensions | {"sni_hostname": host},
        )
        return self.inner.handle_request(towards)

    def close(self) -> None:
        self.inner.close()


def _resolve(host: str, port: int) -> list[str]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as problem:
        raise httpx2.ConnectError(f"{host} was not found.") from problem
    return [str(where[0]) for *_rest, where in found]


def guarded_client(*, private: bool) -> httpx2.Client:
    return httpx2.Client(
        transport=GuardedTransport(private=private),
        trust_env=False,
        follow_redirects=False,
        timeout=TIMEOUT,
    )
