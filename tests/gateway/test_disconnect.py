"""A client that disconnects before the end: what was computed for it counts all the same."""

import asyncio
import json
from contextlib import suppress

from finetune_app.core import engine_client
from finetune_app.gateway import embedder
from finetune_app.gateway.embedding_requests import embed
from finetune_app.gateway.generation import Generation
from finetune_app.gateway.responses import ChatResponse
from finetune_app.gateway.schemas import parse_chat_request
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, MODEL, ask
from tests.worker.conftest import wait_for


def left_alone() -> Request:
    """The logged request of a client that was gone before the end."""
    wait_for(lambda: Request.objects.filter(status=499).exists(), seconds=10)
    return Request.objects.get(status=499)


def test_the_generation_is_cancelled(client, engine_process, live):
    stream = ask(client, stream=True, max_tokens=400)
    next(iter(stream))
    stream.close()
    engine_process.wait_until(lambda: engine_process.get("/health").json()["queue"] == 0)
    assert left_alone().streamed


def test_what_was_read_and_written_counts_for_the_keys_budget(client, key, live):
    """The real engine, with a tiny model, which writes a token a step."""
    read = ask(client, max_tokens=1).usage.prompt_tokens
    Request.objects.all().delete()
    before = type(key[0]).objects.get().used_this_month
    stream = ask(client, stream=True, max_tokens=400, n=2)
    pieces = [chunk for _n, chunk in zip(range(40), stream, strict=False)]
    stream.close()
    logged = left_alone()
    assert logged.prompt_tokens == read
    assert logged.tokens >= sum(bool(one.choices[0].delta.content) for one in pieces) > 10
    used = type(key[0]).objects.get().used_this_month
    assert used - before == logged.prompt_tokens + logged.tokens


def test_who_leaves_before_the_first_word_is_logged_too(key, live, monkeypatch):
    body = json.dumps({"model": MODEL, "messages": HELLO, "stream": True}).encode()
    asked = Generation(key[0], parse_chat_request(body), ChatResponse(MODEL, 1)).with_model()

    async def leave() -> None:
        reading = asyncio.Event()

        async def stream_chat(*_given, **_settings):
            reading.set()
            await asyncio.Event().wait()
            yield {}

        monkeypatch.setattr(engine_client, "stream_chat", stream_chat)
        await cancelled(asyncio.create_task(asked.response()), once=reading)

    asyncio.run(leave())
    assert left_alone().model == MODEL


def test_embeddings_are_computed_whole_and_counted_whole(key, live, monkeypatch):
    body = json.dumps({"model": embedder.model_name(), "input": "My bicycle is broken."}).encode()

    async def leave() -> None:
        computing, may_end = asyncio.Event(), asyncio.Event()

        async def computed(_texts, **_more):
            computing.set()
            await may_end.wait()
            return [[1.0]], 7

        monkeypatch.setattr(engine_client, "embed", computed)
        task = asyncio.create_task(embed(key[0], body))
        await cancelled(task, once=computing, then=may_end)

    asyncio.run(leave())
    assert left_alone().prompt_tokens == 7
    assert type(key[0]).objects.get().used_this_month == 7


async def cancelled(
    task: asyncio.Task, *, once: asyncio.Event, then: asyncio.Event | None = None
) -> None:
    """Ends the task as Django does when its client has left, `once` it works; sets `then` after."""
    await once.wait()
    task.cancel()
    if then:
        asyncio.get_running_loop().call_later(0.01, then.set)
    with suppress(asyncio.CancelledError):
        await task
