"""What is live, asked from pages: by its team, and by a stranger."""

import json

import pytest
from django.test import Client

from finetune_app.deployment.models import PublicChat, Request
from tests.conftest import signed_in

# The test client reads an asynchronous answer in one piece; uvicorn does not.
pytestmark = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
LINES = {"Accept": "application/x-ndjson"}


def events(reply) -> list[dict]:
    return [json.loads(line) for line in b"".join(reply).splitlines()]


def test_the_playground_says_how_the_answer_came_about(live, owner, url_of):
    given = {"question": "Hello", "max_tokens": "3", "temperature": "0"}
    found = events(signed_in(owner).post(url_of("playground"), given, headers=LINES))
    last = found[-1]
    assert (last["done"], last["version"], last["tokens"]) == (True, 1, 3)
    assert last["finish_reason"] == "length"
    noted = Request.objects.get()
    assert (noted.key, noted.deployment, noted.release.number, noted.tokens) == (None, live, 1, 3)
    whole = signed_in(owner).post(url_of("playground"), given)
    assert whole.context["turns"][-1]["content"] == "".join(e.get("text", "") for e in found)


def test_a_stranger_gets_words_and_nothing_else(live):
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


@pytest.fixture
def url_of(goal):
    from django.urls import reverse

    return lambda name: reverse(f"deployment:{name}", args=[goal.pk])
