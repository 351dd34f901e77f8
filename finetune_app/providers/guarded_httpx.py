"""The HTTP client of the official libraries that are built on httpx."""

from collections.abc import Collection

import httpx

from finetune_app.providers.guarded_client import (
    CONNECT_SECONDS,
    HEADERS,
    TIMEOUT_SECONDS,
    WRITE_SECONDS,
    BoundedBody,
    Guarded,
)


class Body(BoundedBody, httpx.SyncByteStream):
    pass


class GuardedTransport(Guarded, httpx.BaseTransport):
    library, body = httpx, Body


def guarded_client(allowed: Collection[str]) -> httpx.Client:
    return httpx.Client(
        transport=GuardedTransport(allowed),
        headers=HEADERS,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS, write=WRITE_SECONDS),
    )
