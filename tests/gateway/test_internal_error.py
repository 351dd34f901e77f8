"""Finetune itself fails in the middle of an answer: that is an error here, no client that left."""

import httpx
import openai
import pytest
from asgiref.sync import async_to_sync

from finetune_app.core import engine_client
from finetune_app.playground import page_client
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, MODEL, ask
from tests.worker.conftest import wait_for


@pytest.fixture
def broken(live, monkeypatch):
    """A deployment whose answers end in a bug after the first words."""

    async def stream_chat(_base_model, requests, **_settings):
        yield {"candidate": requests[0]["candidate"], "text": "Hello"}
        raise RuntimeError("a bug")

    monkeypatch.setattr(engine_client, "stream_chat", stream_chat)
    return live


def is_logged_as_ours() -> bool:
    wait_for(lambda: Request.objects.exists(), seconds=10)
    logged = Request.objects.get()
    return (logged.status, logged.error) == (500, "server_error")


def test_a_whole_answer_becomes_a_500(client, broken):
    with pytest.raises(openai.InternalServerError, match="Something went wrong here"):
        ask(client)
    assert is_logged_as_ours()


@pytest.mark.parametrize("path", ["chat/completions", "responses"])
def test_a_stream_ends_with_an_error_event(broken, address, key, path):
    asked = (
        {"messages": HELLO} if path == "chat/completions" else {"input": "Hello", "store": False}
    )
    headers = {"Authorization": f"Bearer {key[1]}"}
    body = {"model": MODEL, "stream": True, **asked}
    reply = httpx.post(f"{address}/{path}", json=body, headers=headers)
    last = [line for line in reply.text.splitlines() if line.startswith("data:")][-1]
    assert "Something went wrong here" in last
    assert "a bug" not in reply.text
    assert is_logged_as_ours()


def test_a_page_says_that_it_failed(broken):
    generation = page_client.prepare(broken, "page:1", {"messages": HELLO})

    async def events() -> list[page_client.PageEvent]:
        return [event async for event in page_client.events(generation)]

    assert "Something went wrong here" in async_to_sync(events)()[-1]["error"]
    assert is_logged_as_ours()
