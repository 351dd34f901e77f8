"""A model that thinks: its thought is folded above the answer once that begins."""

import json

import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from finetune_app.jobs import services
from tests.browser.browser_session import sign_in
from tests.browser.conftest import listen
from tests.browser.person import photograph
from tests.factories import World, build_world

pytestmark = pytest.mark.django_db(transaction=True)

THOUGHT = ["The wheel is bent, ", "so this is about damage."]
END = {"done": True, "tokens": 30, "prompt_tokens": 9, "seconds": 1.2, "finish_reason": "stop"}


@pytest.fixture
def world(transactional_db, team, owner, monkeypatch) -> World:
    monkeypatch.setattr(services, "wake_worker", lambda job: True)  # nobody works here
    return build_world(team, owner)


@pytest.fixture
def page(new_context, live_server, as_owner) -> Page:
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    return context.new_page()


def lines(*events: dict) -> str:
    return "".join(json.dumps(event) + "\n" for event in events)


def answered(page: Page, address: str, body: str) -> None:
    """The server's answer to the question, as it streams it."""

    def answer(route):
        if route.request.method == "POST":
            route.fulfill(content_type="application/x-ndjson", body=body)
        else:
            route.continue_()

    page.route(f"**{address}*", answer)


def is_folded_above(reply, answer: str) -> None:
    thought = reply.locator("details.thought")
    expect(reply.locator(":scope > .verbatim")).to_have_text(answer)
    expect(thought.locator("summary")).to_be_visible()
    expect(thought.locator(".verbatim")).to_be_hidden()
    thought.locator("summary").click()
    expect(thought.locator(".verbatim")).to_have_text("".join(THOUGHT))


def test_in_the_chat(world, page, live_server):
    wrong = listen(page)
    address = reverse("candidates:chat_stream", args=[world.goal.pk])
    events = [
        event
        for name in ("0", "1")
        for event in (
            *({"candidate": name, "thought": one} for one in THOUGHT if name == "1"),
            {"candidate": name, "text": "damage"},
            {"candidate": name} | END,
        )
    ]
    page.goto(live_server.url + reverse("candidates:chat", args=[world.goal.pk]))
    names = page.locator("#turn").evaluate(
        "one => [...one.content.querySelectorAll('[data-column]')].map(c => c.dataset.column)"
    )
    body = lines(*(one | {"candidate": names[int(one["candidate"])]} for one in events))
    answered(page, address, body)
    page.get_by_label("Your question").fill("The wheel is bent")
    page.get_by_role("button", name="Ask", exact=True).click()
    first, second = page.locator(".answer-column").all()
    is_folded_above(second, "damage")
    expect(first.locator("details.thought")).to_be_hidden()
    photograph(page, "thought-in-the-chat")
    assert not wrong


def test_on_the_playground(world, page, live_server):
    wrong = listen(page)
    address = reverse("playground:page", args=[world.goal.pk])
    page.goto(live_server.url + address)
    events = [*({"thought": one} for one in THOUGHT), {"text": "damage"}, END | {"id": "r1"}]
    answered(page, address, lines(*events))
    page.get_by_label("Your question").fill("The wheel is bent")
    page.get_by_role("button", name="Ask", exact=True).click()
    is_folded_above(page.locator(".reply"), "damage")
    photograph(page, "thought-on-the-playground")
    assert not wrong
