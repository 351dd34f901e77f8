"""A client that sends one request per second, independent of earlier answers."""

import asyncio
import json
import time
from dataclasses import dataclass
from typing import Any

import httpx

from tests.load.conftest import Live, question

TOKENS = 64  # of an answer, at most
TIMEOUT_SECONDS = 300.0


@dataclass
class Asked:
    """The outcome of one request. `status`: HTTP status, 0 for a broken connection. `error`: in
    OpenAI's format, before or within the answer."""

    streamed: bool
    status: int = 0
    error: dict[str, Any] | None = None
    retry_after: str = ""
    first: float | None = None  # seconds until the first text
    whole: float = 0.0
    tokens: int = 0
    ended: bool = False  # with a complete answer

    @property
    def went_wrong(self) -> bool:
        """Whether it failed; 429 does not count as a failure."""
        return self.status != 429 and not self.ended


async def once_a_second(live: Live, seconds: int) -> list[Asked]:
    """Every second request is streamed."""
    began = time.monotonic()
    async with client_of(live) as http:
        asked = []
        for n in range(seconds):
            await asyncio.sleep(max(0.0, began + n - time.monotonic()))
            asked.append(asyncio.create_task(ask(http, live.model, n, streamed=n % 2 == 1)))
        return list(await asyncio.gather(*asked))


def client_of(live: Live) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=live.house.site,
        headers={"Authorization": f"Bearer {live.key}"},
        timeout=TIMEOUT_SECONDS,
        limits=httpx.Limits(max_connections=None),
    )


async def ask(
    http: httpx.AsyncClient,
    model: str,
    n: int,
    *,
    streamed: bool,
    tokens: int = TOKENS,
    **more: Any,
) -> Asked:
    """`more`: further fields of the body."""
    body = (
        {
            "model": model,
            "max_tokens": tokens,
            "stream": streamed,
            "messages": [{"role": "user", "content": question(1000 + 13 * n)}],
        }
        | more
        | ({"stream_options": {"include_usage": True}} if streamed else {})
    )
    found, began = Asked(streamed), time.monotonic()
    try:
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            found.status = reply.status_code
            found.retry_after = reply.headers.get("retry-after", "")
            if reply.headers["content-type"].startswith("text/event-stream"):
                await _follow(reply, found, began)
            else:
                _read(json.loads(await reply.aread()), found)
    except httpx.HTTPError as problem:
        found.status, found.error = 0, {"message": repr(problem)}
    found.whole = time.monotonic() - began
    return found


async def _follow(reply: httpx.Response, found: Asked, began: float) -> None:
    async for line in reply.aiter_lines():
        if line == "data: [DONE]":
            found.ended = True
        elif line:
            event = json.loads(line.removeprefix("data: "))
            if any(one["delta"].get("content") for one in event.get("choices", [])):
                found.first = found.first or time.monotonic() - began
            _read(event, found)


def _read(told: dict[str, Any], found: Asked) -> None:
    found.error = told.get("error") or found.error
    found.tokens = (told.get("usage") or {}).get("completion_tokens", found.tokens)
    found.ended = found.ended or told.get("object") == "chat.completion"
