"""From a browser: try a version and decide; make and renew a key; open a page for people."""

import json
import re

import pytest
from django.test import Client
from playwright.sync_api import Page, expect

from finetune_app.api_keys.models import ApiKey
from finetune_app.deployment.models import Deployment
from finetune_app.request_log.models import Feedback
from tests.browser.conftest import listen
from tests.browser.person import photograph
from tests.factories import World, build_world

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(2400)]


@pytest.fixture
def world(transactional_db, team, owner) -> World:
    return build_world(team, owner)


@pytest.fixture
def page(new_context, live_server, as_owner) -> Page:
    found = browser(new_context, live_server, as_owner)
    found.set_default_timeout(120_000)
    return found


def browser(new_context, live_server, client: Client) -> Page:
    context = new_context(base_url=live_server.url)
    context.add_cookies(
        [
            {"name": name, "value": one.value, "url": live_server.url}
            for name, one in client.cookies.items()
        ]
    )
    return context.new_page()


def test_a_version_is_tried_and_then_answers_everybody(world, page):
    wrong = listen(page)
    page.goto(f"/goals/{world.goal.pk}/deployment/")
    expect(page.get_by_role("heading", name="Version 3 is being tried on 10 %")).to_be_visible()
    photograph(page, "canary")
    page.get_by_label("Share").select_option("25")
    page.get_by_role("button", name="Change", exact=True).click()
    expect(page.get_by_role("heading", name="Version 3 is being tried on 25 %")).to_be_visible()
    page.get_by_role("button", name="Let it answer everybody").click()
    expect(page.get_by_text("Version 3 now answers everybody.")).to_be_visible()
    page.get_by_role("link", name="What changed, and how each did").click()
    expect(page.get_by_text("Tried first, for everybody since")).to_be_visible()
    photograph(page, "versions")
    assert Deployment.objects.get().current.number == 3
    assert not wrong


def test_a_key_is_made_shown_once_and_given_a_new_secret(world, page):
    wrong = listen(page)
    page.goto("/team/keys/")
    photograph(page, "keys")
    page.get_by_role("link", name="New key").click()
    photograph(page, "new-key")
    page.get_by_label("What is it for?").fill("Monthly reports")
    page.get_by_label("train (fine-tuning)").uncheck()
    page.get_by_label(re.compile("Tokens a month")).fill("200000")
    page.get_by_role("button", name="Make the key").click()
    first = page.locator("#key").inner_text()
    photograph(page, "key-shown")
    page.get_by_role("link", name="I have saved it").click()
    page.get_by_role("link", name="Change Monthly reports").click()
    photograph(page, "key-change")
    page.get_by_role("button", name="Make a new secret").click()
    second = page.locator("#key").inner_text()
    assert first != second
    assert first[:11] == second[:11]
    made = ApiKey.objects.get(name="Monthly reports")
    assert made.tokens_per_month == 200_000
    assert made.actions == ["chat", "embeddings", "models", "files"]
    assert not wrong


def test_the_same_request_as_code_in_three_languages(world, page):
    wrong = listen(page)
    page.goto(f"/goals/{world.goal.pk}/deployment/")
    page.get_by_text("curl", exact=True).first.click()
    expect(page.locator("#code-a1")).to_be_visible()
    page.get_by_text("JavaScript", exact=True).first.click()
    expect(page.locator("#code-a3")).to_contain_text("shop-mail")
    expect(page.locator("#code-a1")).to_be_hidden()
    photograph(page, "page-snippets")
    page.goto(f"/goals/{world.goal.pk}/deployment/playground/")
    page.get_by_label("System message").fill("Be brief.")
    page.get_by_label("Temperature").fill("0.5")
    page.get_by_label("Your question").fill("Is my bike ready?")
    page.get_by_role("button", name="Show this request as code").click()
    expect(page.locator("#code-b1")).to_contain_text('"temperature": 0.5')
    expect(page.locator("#code-b1")).to_contain_text("Is my bike ready?")
    photograph(page, "playground")
    assert not wrong


def test_a_thumb_on_an_answer_of_the_playground(world, page):
    """What the model says is played here; all else is the page, its script and the server."""
    wrong = listen(page)
    address = f"/goals/{world.goal.pk}/deployment/playground/"
    end = {
        "done": True,
        "id": world.asked.reply_id,
        "tokens": 2,
        "prompt_tokens": 9,
        "seconds": 0.4,
        "finish_reason": "stop",
        "version": 2,
    }
    lines = "\n".join(json.dumps(one) for one in ({"text": "repair_status"}, end)) + "\n"
    page.route(
        "**" + address,
        lambda route: (
            route.fallback()
            if route.request.method == "GET"
            else route.fulfill(status=200, content_type="application/x-ndjson", body=lines)
        ),
    )
    Feedback.objects.all().delete()
    page.goto(address)
    expect(page.get_by_role("button", name="Helpful", exact=True)).to_have_count(0)
    page.get_by_label("Your question").fill("Is my bike ready?")
    page.get_by_role("button", name="Ask", exact=True).click()
    down = page.get_by_role("button", name="Not helpful")
    down.click()
    expect(down).to_have_attribute("aria-pressed", "true")
    page.get_by_label("What should it have said?").fill("pickup")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    photograph(page, "playground-thumbs")
    assert (Feedback.objects.get().rating, Feedback.objects.get().expected) == (-1, "pickup")
    assert not wrong


def test_a_page_for_people_in_somebody_s_site(world, page, new_context, live_server):
    wrong = listen(page)
    page.goto(f"/goals/{world.goal.pk}/deployment/chat-page/")
    page.get_by_label("Sites that may show it").fill("http://localhost:1")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved. It is on.")).to_be_visible()
    expect(page.locator("#frame")).to_contain_text("<iframe src=")
    photograph(page, "chat-page-settings")
    stranger = new_context(base_url=live_server.url).new_page()
    told = listen(stranger)
    stranger.goto(f"/chat/{world.public_chat.link}/")
    expect(stranger.get_by_role("heading", name="Ask the shop")).to_be_visible()
    photograph(stranger, "chat-page")
    stranger.get_by_label("Your question").fill("Are you open?")
    stranger.get_by_role("button", name="Ask").click()
    away = stranger.get_by_text("cannot answer now")  # nothing counts or answers here
    expect(away).to_be_visible(timeout=60_000)
    expect(stranger.get_by_label("Your question")).to_have_value("Are you open?")
    photograph(stranger, "chat-page-trouble")
    assert stranger.context.cookies() == []
    stranger.goto("/chat/no-such-link/")
    photograph(stranger, "chat-page-closed")
    assert not wrong
    assert not [one for one in told if "404" not in one and "503" not in one and "429" not in one]
