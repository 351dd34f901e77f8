"""Five candidates beside each other: read by keyboard, filtered, noted, sent to a colleague."""

import re

import pytest
from playwright.sync_api import expect

from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.looker import NARROW
from tests.browser.steps import look, press
from tests.knowledge.conftest import committed, knowledge  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)
EVERY_WAY = ["prompt", "rag", "tuned", "combined"]
RIGHT = {"base": 5, "prompt": 4, "rag": 3, "tuned": 2, "combined": 1}  # every so many prompts


def answered(prompt, kind) -> tuple[str, bool]:
    if prompt.index % RIGHT[kind] == 0:
        return prompt.wanted, True
    return f"{kind} is not sure about that one.", False


@pytest.fixture
def page(goal, owner, as_owner, knowledge, new_context, live_server):  # noqa: F811
    """The verdict page of an evaluation of all five."""
    training = journey.trained(journey.ready(goal, owner), owner)
    evaluation = journey.started(
        goal,
        owner,
        EVERY_WAY,
        training=training,
        prompt=journey.BaselinePrompt("Sort the email.", []),
    )
    journey.answer_all(evaluation, answered)
    journey.finish(evaluation)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/evaluation/{evaluation.pk}/")
    return page


def test_five_answers_are_read_filtered_and_noted(page):
    wrong = listen(page)
    press(page, "all answers beside each other")
    answers = page.locator(".columns .paper")
    expect(answers).to_have_count(5)
    expect(page.locator("#h-prompt")).to_contain_text("Prompt 1 of")
    look(page, "five-side-by-side")

    page.keyboard.press("ArrowRight")
    expect(page.locator("#h-prompt")).to_contain_text("Prompt 2 of")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#h-prompt")).to_contain_text("Prompt 1 of")

    page.locator(".filters").get_by_role("link", name=re.compile("^Better")).click()
    expect(page).to_have_url(re.compile("outcome=better"))
    page.get_by_label("Your note").fill("The documents answer this one.")
    press(page, "Save")
    expect(page.get_by_label("Your note")).to_have_value("The documents answer this one.")
    expect(page.locator(".filters")).to_contain_text("With notes")

    page.locator(".shown-choices summary").click()
    boxes = page.locator(".shown-choices input[type=checkbox]")
    expect(boxes).to_have_count(5)
    for number in (1, 2):
        boxes.nth(number).uncheck()
    press(page, "Show these")
    expect(answers).to_have_count(3)
    sent = page.url  # what a colleague opens
    page.goto("about:blank")
    page.goto(sent)
    expect(answers).to_have_count(3)
    expect(page.locator(".filters [aria-current]")).to_contain_text("Better")

    page.set_viewport_size(NARROW)
    assert page.evaluate("document.documentElement.scrollWidth") <= NARROW["width"]
    assert faults(wrong) == []
