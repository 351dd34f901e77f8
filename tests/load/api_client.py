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
class RequestOutcome:
    """`status`: HTTP status, 0 for a broken connection. `error`: in OpenAI's format."""

    streamed: bool
    status: int = 0
    error: dict[str, Any] | None = None
    retry_after: str = ""
    first_seconds: float | None = None  # until the first text of a stream
    seconds: float = 0.0
    tokens: int = 0
    complete: bool = False

    @property
    def failed(self) -> bool:
        """A rejection (429) is no failure."""
        return self.status != 429 and not self.complete


async def send_every_second(live: Live, seconds: int) -> list[RequestOutcome]:
    """Every second request is streamed."""
    started_at = time.monotonic()
    async with client_of(live) as http:
        tasks = []
        for n in range(seconds):
            await asyncio.sleep(max(0.0, started_at + n - time.monotonic()))
            tasks.append(asyncio.create_task(ask(http, live.model, n, streamed=n % 2 == 1)))
        return list(await asyncio.gather(*tasks))


def client_of(live: Live) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=live.installation.site,
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
) -> RequestOutcome:
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
    outcome, started_at = RequestOutcome(streamed), time.monotonic()
    try:
        async with http.stream("POST", "/v1/chat/completions", json=body) as reply:
            outcome.status = reply.status_code
            outcome.retry_after = reply.headers.get("retry-after", "")
            if reply.headers["content-type"].startswith("text/event-stream"):
                await _read_stream(reply, outcome, started_at)
            else:
                _read_body(json.loads(await reply.aread()), outcome)
    except httpx.HTTPError as problem:
        outcome.status, outcome.error = 0, {"message": repr(problem)}
    outcome.seconds = time.monotonic() - started_at
    return outcome


async def _read_stream(reply: httpx.Response, outcome: RequestOutcome, started_at: float) -> None:
    async for line in reply.aiter_lines():
        if line == "data: [DONE]":
            outcome.complete = True
        elif line:
            event = json.loads(line.removeprefix("data: "))
            if any(one["delta"].get("content") for one in event.get("choices", [])):
                outcome.first_seconds = outcome.first_seconds or time.monotonic() - started_at
            _read_body(event, outcome)


def _read_body(body: dict[str, Any], outcome: RequestOutcome) -> None:
    outcome.error = body.get("error") or outcome.error
    outcome.tokens = (body.get("usage") or {}).get("completion_tokens", outcome.tokens)
    outcome.complete = outcome.complete or body.get("object") == "chat.completion"
