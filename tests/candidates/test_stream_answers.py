"""Streaming answers from a real engine process with a tiny model."""

import asyncio
import json
from contextlib import aclosing

import pytest
from asgiref.sync import sync_to_async
from django.db import connections
from django.test import AsyncClient

from finetune_app.basemodels.models import BaseModel
from finetune_app.candidates import conversation, inference, selection
from finetune_app.training.models import Training
from tests.worker.engine.engine_server import SECRET, EngineServer
from tests.worker.engine.tiny_models import make_adapter, make_base

QUESTION = "Hello there"
# The test client reads an asynchronous response as a whole; uvicorn does not.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    data = tmp_path_factory.mktemp("data")
    make_base(data / "base", "llama")
    make_adapter(data / "base", data / "adapter", 1)
    running = EngineServer(data)
    yield running
    running.process.kill()
    running.process.wait()


@pytest.fixture
def engine(server, trained, settings, monkeypatch):
    """The engine loads a tiny model instead of the goal's base model."""
    settings.ENGINE_SOCKET, settings.ENGINE_SECRET = server.socket, SECRET
    folders = {trained.base_model.folder: "base", trained.adapter_folder: "adapter"}
    monkeypatch.setattr(
        inference.services, "engine_folder", lambda name: server.data / folders[name]
    )
    return server


def events(body: bytes) -> list[dict]:
    return [json.loads(line) for line in body.splitlines()]


def streamed_text(found: list[dict], request: str) -> str:
    return "".join(event.get("text", "") for event in found if event["candidate"] == request)


def beginning(answer: str) -> str:
    """A random model's later words hang on rounding, which differs with what is computed beside."""
    return answer[:20]


def test_both_answers_stream_and_end(as_viewer, trained, engine, url):
    reply = as_viewer.post(url("chat_stream"), {"question": QUESTION})
    assert reply["Content-Type"] == "application/x-ndjson"
    assert reply["Cache-Control"] == "no-store"
    found = events(b"".join(reply))
    assert {event["candidate"] for event in found if event.get("done")} == {"base", "tuned"}
    assert streamed_text(found, "base") != streamed_text(found, "tuned")


def test_the_answers_are_the_same_without_javascript(as_viewer, trained, engine, url):
    streamed = events(b"".join(as_viewer.post(url("chat_stream"), {"question": QUESTION})))
    (turn,) = as_viewer.post(url("chat"), {"question": QUESTION}).context["turns"]
    whole = {side.column.name: beginning(side.text) for side in turn.sides}
    assert whole == {name: beginning(streamed_text(streamed, name)) for name in ("base", "tuned")}
    assert whole["base"] != whole["tuned"]


def test_disconnecting_cancels_the_answers(trained: Training, engine):
    goal = Training.objects.select_related("goal").get(pk=trained.pk).goal
    pair = selection.selected_options(goal, selection.candidate_options(goal))
    asked = conversation.next_batch(selection.chat_columns(pair), [], QUESTION)

    async def read_one_line():
        async with aclosing(inference.stream_ndjson(asked)) as lines:
            async for _line in lines:
                break

    asyncio.run(read_one_line())
    engine.wait_until(lambda: engine.get("/health").json()["queue"] == 0)


def test_a_missing_adapter_is_reported(as_viewer, trained, engine, url, monkeypatch):
    monkeypatch.setattr(inference.services, "engine_folder", lambda name: engine.data / "nowhere")
    body = b"".join(as_viewer.post(url("chat_stream"), {"question": QUESTION}))
    assert any(event.get("error") for event in events(body))


@pytest.mark.django_db(transaction=True)
def test_answers_stream_under_asgi(owner, trained, engine, url):
    client = AsyncClient()
    client.force_login(owner, backend="django.contrib.auth.backends.ModelBackend")

    async def ask() -> bytes:
        reply = await client.post(url("chat_stream"), {"question": QUESTION})
        body = b"".join([part async for part in reply])
        await sync_to_async(connections.close_all)()  # connections of the thread that ran the view
        return body

    found = events(asyncio.run(ask()))
    assert {event["candidate"] for event in found if event.get("done")} == {"base", "tuned"}
    assert BaseModel.objects.exists()
