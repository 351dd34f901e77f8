"""Clients that send or read too slowly are disconnected."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from finetune_app.core import slow_clients
from finetune_app.core.slow_clients import SlowClientTimeout

SCOPE = {"type": "http", "method": "POST", "path": "/nowhere/", "headers": []}


@pytest.fixture(autouse=True)
def _short(monkeypatch):
    monkeypatch.setattr(slow_clients, "BODY_GRACE_SECONDS", 0.2)
    monkeypatch.setattr(slow_clients, "READ_TIMEOUT_SECONDS", 0.2)


async def echo(scope, receive, send):
    """Reads the whole body, as Django does, and answers with its length."""
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        size += len(message["body"])
        if not message["more_body"]:
            break
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": str(size).encode()})


def ask(pieces: AsyncIterator[bytes], send=None, app=echo, path="/nowhere/") -> list[dict]:
    sent: list[dict] = []

    async def receive():
        piece = await anext(pieces, None)
        return {"type": "http.request", "body": piece or b"", "more_body": piece is not None}

    async def keep(message):
        sent.append(message)

    asyncio.run(SlowClientTimeout(app)(SCOPE | {"path": path}, receive, send or keep))
    return sent


async def drip(count: int, seconds: float) -> AsyncIterator[bytes]:
    for _ in range(count):
        await asyncio.sleep(seconds)
        yield b"x"


def test_a_body_that_comes_byte_by_byte_times_out():
    """Slowloris: single bytes arrive in time, the whole body never does."""
    sent = ask(drip(10_000, 0.02))
    assert sent[0]["status"] == 408
    assert b"took too long" in sent[1]["body"]


def test_a_program_is_told_in_its_own_form():
    assert b'{"error": {"message"' in ask(drip(10_000, 0.02), path="/v1/files")[1]["body"]


def test_a_body_that_never_comes_times_out():
    assert ask(drip(1, 60))[0]["status"] == 408


def test_a_long_body_at_the_minimum_rate_is_accepted(monkeypatch):
    monkeypatch.setattr(
        slow_clients, "MIN_BYTES_PER_SECOND", 10
    )  # each byte extends the deadline by a tenth of a second
    assert ask(drip(30, 0.02))[1]["body"] == b"30"


def test_waiting_long_for_the_answer_is_allowed():
    async def thinks(scope, receive, send):
        await receive()
        with pytest.raises(TimeoutError):  # as Django waits for a disconnect
            async with asyncio.timeout(0.5):
                await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

    calls = 0

    async def receive():
        nonlocal calls
        calls += 1
        if calls > 1:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}

    sent: list[dict] = []

    async def send(message):
        sent.append(message)

    asyncio.run(SlowClientTimeout(thinks)(SCOPE, receive, send))
    assert sent[0]["status"] == 200


def test_an_unread_answer_is_aborted():
    closed = []

    async def streams(scope, receive, send):
        try:
            while True:
                await send({"type": "http.response.body", "body": b"x", "more_body": True})
        finally:
            closed.append("freed")

    async def never(message):
        await asyncio.Event().wait()

    assert ask(drip(0, 0), send=never, app=streams) == []
    assert closed == ["freed"]
