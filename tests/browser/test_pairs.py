"""A pair is made in the chat with two candidates, opened, and changed."""

import pytest
from playwright.sync_api import expect

from finetune_app.core import engine_client
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.steps import look, press

pytestmark = pytest.mark.django_db(transaction=True)
SAID = {"base": "No, sorry, we do not do that.", "tuned": "We do! Bring it in any day."}


@pytest.fixture
def page(goal, owner, as_owner, new_context, live_server, monkeypatch):
    """The chat page of a trained goal; both candidates answer at once."""

    async def stream_chat(base_model, requests, **options):
        for request in requests:
            name = request["candidate"]
            yield {"candidate": name, "text": SAID[name]}
            yield {"candidate": name, "done": True, "seconds": 0.1}

    monkeypatch.setattr(engine_client, "stream_chat", stream_chat)
    journey.trained(journey.ready(goal, owner), owner)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/chat/")
    return page


def ask(page, question: str) -> None:
    page.locator("#question").fill(question)
    press(page, "Ask")


def test_a_pair_is_made_in_the_chat_and_changed_in_the_dataset(page):
    wrong = listen(page)
    ask(page, "Do you also mend unicycles?")
    better = page.get_by_role("button", name="This one is better")
    expect(better).to_have_count(2)
    ask(page, "And tandems?")
    expect(page.locator(".turn")).to_have_count(2)
    expect(page.locator(".turn").nth(1)).to_contain_text(SAID["tuned"])
    expect(better).to_have_count(2)  # later answers follow different conversations
    page.locator("[data-column=tuned] .prefer button").click()
    expect(page.locator(".preferred").first).to_contain_text("Kept as No.")
    look(page, "chat-preferred")

    press(page, "Open it")
    expect(page.locator("textarea[name=rejected]")).to_have_value(SAID["base"])
    look(page, "pair-opened")
    page.locator("textarea[name=rejected]").fill("Never.")
    press(page, "Save")
    expect(page.locator("#list")).to_contain_text("Never.")
    page.get_by_role("link", name="Pairs").click()
    expect(page.locator("table.examples tbody tr")).to_have_count(1)
    look(page, "pairs")
    assert faults(wrong) == []
