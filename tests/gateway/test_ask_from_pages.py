"""A deployment is asked from pages: the playground and the public chat."""

import json

import pytest
from asgiref.sync import async_to_sync
from django.test import Client
from django.urls import reverse

from finetune_app.playground import page_client
from finetune_app.playground.models import PublicChat
from finetune_app.request_log.models import Request
from tests.conftest import signed_in

# The test client reads an asynchronous answer in one piece; uvicorn does not.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
LINES = {"Accept": "application/x-ndjson"}


def events(reply) -> list[dict]:
    return [json.loads(line) for line in b"".join(reply).splitlines()]


def test_the_playground_shows_version_tokens_and_seconds(live, owner, url):
    given = {"question": "Hello", "max_tokens": "3", "temperature": "0"}
    found = events(signed_in(owner).post(url("playground:page"), given, headers=LINES))
    last = found[-1]
    assert (last["done"], last["version"], last["tokens"]) == (True, 1, 3)
    assert last["finish_reason"] == "length"
    logged = Request.objects.get()
    assert (logged.key, logged.deployment, logged.release.number, logged.tokens) == (
        None,
        live,
        1,
        3,
    )
    assert logged.streamed
    assert logged.first_seconds <= logged.seconds
    whole = signed_in(owner).post(url("playground:page"), given)
    assert whole.context["turns"][-1]["content"] == "".join(e.get("text", "") for e in found)


def test_feedback_can_be_given_as_soon_as_the_last_event_arrives(live, owner, goal):
    given = {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 3}
    call = page_client.prepare(live, "page:1", given)

    async def logged_at_the_end() -> tuple[str, bool]:
        found = page_client.events(call)
        async for event in found:
            if event.get("done"):
                logged = await Request.objects.filter(reply_id=event["id"]).aexists()
                await found.aclose()
                return event["id"], logged
        raise AssertionError("the last event is missing")

    reply_id, logged = async_to_sync(logged_at_the_end)()
    assert logged
    rate_url = reverse("request_log:rate_reply", args=[goal.pk, reply_id])
    assert signed_in(owner).post(rate_url, {"rating": "up"}).status_code == 302
    assert Request.objects.get().feedback.is_up


def test_the_public_chat_sends_only_text_to_strangers(live):
    chat = PublicChat.objects.create(deployment=live, on=True, audience="link", title="Ask")
    address = f"/chat/{chat.link}/"
    reply = Client().post(address, {"question": "Hello"}, headers=LINES)
    assert not reply.cookies
    found = events(reply)
    assert found[-1] == {"done": True}
    assert {name for event in found for name in event} <= {"text", "done"}
    assert Request.objects.get().team == live.team
    page = Client().post(address, {"question": "Hello"}).content.decode()
    assert "Hello" in page
