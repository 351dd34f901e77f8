"""Embeddings and searches have threads and a queue of their own, and their callers take turns."""

import asyncio
import json
import threading
from collections import Counter
from types import SimpleNamespace

import httpx
import pytest

from tests.worker.engine.engine_server import SECRET
from worker.engine.fair_executor import FairExecutor
from worker.engine.model_manager import ModelManager
from worker.engine.retrieval import Retriever
from worker.engine.server import make_app

HEADERS = {"X-Engine-Secret": SECRET}


@pytest.fixture
def manager(tmp_path):
    """Of a model that is there at once."""
    backend = SimpleNamespace(kind="own", number_format="fp32", wait_seconds=0.0)
    selector = SimpleNamespace(kind=lambda *_: "own", open=lambda *_: backend)
    return ModelManager(tmp_path, selector=selector)


@pytest.fixture
def app(manager):
    return make_app(manager, SECRET)


@pytest.fixture
def embedding(monkeypatch):
    """Texts are embedded once `finish` is set. `begun`: the first text of each request."""
    held = SimpleNamespace(begun=[], finish=threading.Event())

    def embed(_self, texts, _questions, _whole=False):
        held.begun.append(texts[0])
        assert held.finish.wait(60)
        return [[1.0] for _text in texts], [1 for _text in texts]

    monkeypatch.setattr(Retriever, "embed", embed)
    yield held
    held.finish.set()


async def until(condition) -> None:
    async with asyncio.timeout(30):
        while not condition():
            await asyncio.sleep(0)


def test_a_chat_begins_while_one_key_asks_for_many_embeddings(app, manager, embedding, tmp_path):
    """As many requests as a key may send in a minute, each of as many texts as it may have."""
    prepared = []

    async def story() -> list[httpx.Response]:
        async with client_of(app) as client:
            body = {"texts": ["x"] * 256, "caller": "key 1"}
            asked = [asyncio.create_task(client.post("/embed", json=body)) for _ in range(60)]
            await until(lambda: embedding.begun)
            try:
                async with (
                    asyncio.timeout(10),
                    manager.acquire(tmp_path, "fp32", 1, prepared.append),
                ):
                    assert len(embedding.begun) == 1, "one at a time"
            finally:
                embedding.finish.set()
            return await asyncio.gather(*asked)

    responses = asyncio.run(story())
    assert prepared
    assert Counter(one.status_code for one in responses) == {200: 8, 429: 52}
    assert {one.headers.get("Retry-After") for one in responses} == {None, "5"}


def test_another_key_gets_a_thread_beside_one_that_asks_for_many(app, embedding):
    async def story() -> list[httpx.Response]:
        async with client_of(app) as client:
            asked = [
                asyncio.create_task(client.post("/embed", json={"texts": [key], "caller": key}))
                for key in ("many", "many", "many", "few")
            ]
            await until(lambda: len(embedding.begun) == 2)
            embedding.finish.set()
            return await asyncio.gather(*asked)

    assert {one.status_code for one in asyncio.run(story())} == {200}
    assert sorted(embedding.begun[:2]) == ["few", "many"]


def test_callers_take_turns():
    """One at a time, and whoever had a turn waits for the next one behind the others."""
    order = []

    async def story() -> None:
        executor, first_may_end = FairExecutor(1, "test"), threading.Event()

        def work(name: str) -> None:
            order.append(name)
            assert first_may_end.wait(60)

        asked = [
            asyncio.create_task(executor.run(lambda name=name: work(name), caller=name[0]))
            for name in ("a1", "a2", "a3", "b1", "b2", "c1")
        ]
        await until(lambda: order)
        assert executor.wait_seconds > 0
        first_may_end.set()
        await asyncio.gather(*asked)
        assert (executor.queue.length, executor.wait_seconds) == (0, 0.0)

    asyncio.run(story())
    assert order == ["a1", "b1", "c1", "a2", "b2", "a3"]


def test_texts_are_not_embedded_for_a_client_that_is_gone(app, embedding):
    async def story() -> None:
        leave, left = asyncio.Event(), asyncio.Event()

        async def stay() -> None:
            await asyncio.Event().wait()

        async def go() -> None:
            await leave.wait()
            left.set()

        stays = asyncio.create_task(post(app, {"texts": ["stays"]}, stay))
        await until(lambda: embedding.begun)
        goes = asyncio.create_task(post(app, {"texts": ["goes"]}, go))
        await until(lambda: app.state.retriever.executor.queue.length == 2)
        leave.set()
        await until(left.is_set)
        await asyncio.sleep(0)
        embedding.finish.set()
        assert (await stays, await goes) == (200, 499)

    asyncio.run(story())
    assert embedding.begun == ["stays"]


def client_of(app) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app=app)
    return httpx.AsyncClient(transport=transport, base_url="http://engine", headers=HEADERS)


async def post(app, body: dict, gone) -> int:
    """The status of an answer to a client that stays until `gone` returns."""
    parts = [{"type": "http.request", "body": json.dumps(body).encode()}]
    statuses = []

    async def receive() -> dict:
        if parts:
            return parts.pop()
        await gone()
        return {"type": "http.disconnect"}

    async def send(message: dict) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    headers = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
    scope = {"type": "http", "method": "POST", "path": "/embed", "headers": headers}
    await app(scope | {"query_string": b"", "raw_path": b"/embed"}, receive, send)
    return statuses[0]
