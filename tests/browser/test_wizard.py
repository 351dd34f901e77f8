"""The wizard with the keyboard alone: answer, go back, change an answer, read, go on."""

import re
from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect

from finetune_app.goals.models import Goal
from tests.browser.conftest import listen

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def new_goal(transactional_db, team, owner) -> Goal:
    return Goal.objects.create(
        team=team,
        name="Write product texts",
        description="In our voice.",
        measure="close",
        created_by=owner,
    )


@pytest.fixture
def open_page(new_context, live_server, as_owner) -> Callable[..., Page]:
    def open_(name: str, *, script: bool = True, **ids) -> Page:
        context: BrowserContext = new_context(java_script_enabled=script)
        sign_in(context, as_owner, live_server.url)
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.goto(live_server.url + reverse(name, kwargs=ids))
        return page

    return open_


def sign_in(context: BrowserContext, client: Client, server: str) -> None:
    context.add_cookies(
        [{"name": n, "value": one.value, "url": server} for n, one in client.cookies.items()]
    )


def asks(page: Page, words: str) -> None:
    expect(page.get_by_role("heading", level=1)).to_have_text(words)


def press(page: Page, number: int) -> None:
    """Choose a card and go on, as a hand on the keyboard does."""
    page.keyboard.press(str(number))
    expect(page.locator(".choice input").nth(number - 1)).to_be_checked()
    go_on(page, lambda: page.keyboard.press("Enter"))


def go_on(page: Page, press: Callable[[], object]) -> None:
    before = page.url
    press()
    page.wait_for_url(lambda url: url != before)


def test_from_the_first_question_to_the_right_step(new_goal, open_page):
    page = open_page("guide:onward", goal_id=new_goal.pk)
    wrong = listen(page)
    asks(page, "What should get better?")
    expect(page.get_by_text("Question 1 of 8")).to_be_visible()
    press(page, 2)  # it sounds wrong
    asks(page, "Have you tried clear instructions with a few examples?")
    press(page, 4)  # it lacks the facts: a slip
    asks(page, "How often do the facts in its answers change?")

    page.get_by_role("button", name="Back").click()
    asks(page, "Have you tried clear instructions with a few examples?")
    expect(page.get_by_role("radio", name=re.compile("lacks the facts"))).to_be_checked()
    press(page, 3)  # right one day and wrong the next
    press(page, 1)  # facts hardly ever change
    press(page, 2)  # no source wanted
    press(page, 1)  # no documents
    asks(page, "How many good examples do you have?")
    page.get_by_label("Or the number, if you know it").fill("28")
    page.keyboard.press("Enter")
    asks(page, "Have you kept questions aside to test it with?")
    press_next(page, "Skip this one")
    press(page, 1)

    asks(page, "Collect about 22 more examples first.")
    letter = page.locator(".letter")
    expect(letter).to_contain_text("Our advice, from your 7 answers")
    expect(letter.locator("q", has_text="It sounds wrong").first).to_be_visible()
    expect(letter.locator("q", has_text="28 examples").first).to_be_visible()
    expect(letter).not_to_contain_text("lacks the facts")

    page.locator("#next").get_by_role("button", name="Write more").click()
    page.wait_for_url(re.compile(r"/dataset/write/ideas/$"))
    expect(page.locator("#rail [aria-current=step]")).to_contain_text("Dataset")
    new_goal.refresh_from_db()
    assert new_goal.method == "fine_tune"
    assert not wrong, wrong


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_changed_answer_changes_the_advice_and_the_rail(new_goal, open_page, script):
    page = open_page("guide:advice", script=script, goal_id=new_goal.pk)
    choose(page, "It does not know our facts")
    for _question in range(7):
        press_next(page, "Skip this one")
    asks(page, "Gather your documents first.")
    change(page, "Do you have documents")
    choose(page, "Dozens or more")
    asks(page, "Write about 20 test questions first.")

    change(page, "Have you kept questions aside")
    choose(page, "About twenty or more")
    asks(page, "Let it look things up.")
    expect(page.get_by_role("heading", name="Earlier advice")).to_be_visible()
    page.locator("#next").get_by_role("button", name="Add documents").click()
    page.wait_for_url(re.compile(r"/documents/$|/knowledge/$"))
    expect(page.locator("#rail [aria-current=step]")).to_contain_text("Documents")
    expect(page.locator(".method-tabs [aria-current=page]")).to_contain_text("your method")


def choose(page: Page, words: str) -> None:
    page.get_by_role("radio", name=re.compile(words)).check(force=True)
    go_on(page, page.locator("#next .primary").click)


def press_next(page: Page, words: str) -> None:
    button = page.locator("#next").get_by_role("button", name=re.compile(words))
    go_on(page, button.click)


def change(page: Page, question: str) -> None:
    page.get_by_role("link", name=re.compile(f"Change.*{question}")).click()


def test_a_known_method_is_chosen_with_one_click(new_goal, open_page):
    page = open_page("guide:onward", goal_id=new_goal.pk)
    page.get_by_role("button", name="Training", exact=True).click()
    page.wait_for_url(re.compile(r"/dataset/$"))
    page.goto(page.url.replace("dataset/", "onward/"))
    page.wait_for_url(re.compile(r"/dataset/$"))  # not asked again
