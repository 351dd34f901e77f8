"""The HTTP client of the official libraries that are built on httpx2."""

from collections.abc import Collection

import httpx2

from finetune_app.providers.guarded_client import (
    CONNECT_SECONDS,
    HEADERS,
    TIMEOUT_SECONDS,
    WRITE_SECONDS,
    BoundedBody,
    Guarded,
)


class Body(BoundedBody, httpx2.SyncByteStream):
    pass


class GuardedTransport(Guarded, httpx2.BaseTransport):
    library, body = httpx2, Body


def guarded_client(allowed: Collection[str]) -> httpx2.Client:
    return httpx2.Client(
        transport=GuardedTransport(allowed),
        headers=HEADERS,
        trust_env=False,
        follow_redirects=False,
        timeout=httpx2.Timeout(TIMEOUT_SECONDS, connect=CONNECT_SECONDS, write=WRITE_SECONDS),
    )
