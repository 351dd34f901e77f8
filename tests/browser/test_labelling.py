"""Labelling by keyboard in the browser: what was typed survives reloads, conflicts and lost
connections."""

from collections.abc import Callable

import pytest
from django.test import Client
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect

from finetune_app.datasets.models import Dataset, Status
from finetune_app.datasets.services import dataset_of
from finetune_app.goals.models import Goal
from finetune_app.labelling import suggestions
from finetune_app.labelling.models import Draft
from tests.browser.conftest import faults, listen
from tests.browser.person import photograph
from tests.labelling.helpers import add_answered_rows, add_pending_rows, row
from tests.worker.conftest import wait_for

pytestmark = pytest.mark.django_db(transaction=True)
ANSWERS = ["bell", "gears", "chain"]


@pytest.fixture
def browser(new_context, live_server) -> Callable[..., BrowserContext]:
    """A browser in which somebody is signed in."""

    def sign_in(client: Client, **options) -> BrowserContext:
        context = new_context(**options)
        context.set_default_timeout(15_000)
        context.add_cookies(
            [
                {"name": name, "value": one.value, "url": live_server.url}
                for name, one in client.cookies.items()
            ]
        )
        return context

    return sign_in


@pytest.fixture
def address(goal: Goal, live_server) -> Callable[..., str]:
    def build(name: str, query: str = "", **ids) -> str:
        return live_server.url + reverse(name, kwargs={"goal_id": goal.pk} | ids) + query

    return build


@pytest.fixture
def dataset(transactional_db, goal) -> Dataset:
    return dataset_of(goal)


def at(page: Page, number: int) -> None:
    expect(page.locator("#which")).to_contain_text(f"No. {number}")


def test_thirty_rows_by_keyboard_alone(dataset, owner, as_owner, browser, address):
    """Buttons with keys first, then sentences; the tab is closed in the middle of a word."""
    add_answered_rows(dataset, owner, ANSWERS * 4)
    add_pending_rows(dataset, owner, 30)
    page = browser(as_owner).new_page()
    wrong = listen(page)
    page.goto(address("labelling:start"))
    at(page, 13)
    photograph(page, "label-offer")
    page.get_by_role("button", name="Use these buttons").press("Enter")
    expect(page.locator(".key")).to_have_count(3)
    photograph(page, "label-closed")
    for number in range(13, 33):  # twenty with a key each
        at(page, number)
        page.keyboard.press(str(number % 3 + 1))
    at(page, 33)
    said = [row(dataset, number).answer for number in range(13, 33)]
    assert said == [ANSWERS[number % 3] for number in range(13, 33)]

    page.keyboard.press("w")  # one of one's own
    page.keyboard.type("not a bicycle, 3 times")  # digits in it press no button
    page.keyboard.press("Control+Enter")
    at(page, 34)
    assert row(dataset, 33).answer == "not a bicycle, 3 times"

    page.keyboard.press("s")
    at(page, 35)
    page.keyboard.press("ArrowLeft")
    at(page, 34)
    page.keyboard.press("x")
    at(page, 35)
    assert row(dataset, 34).status == Status.SET_ASIDE
    page.keyboard.press("z")  # what was set aside by mistake
    at(page, 34)
    expect(page.get_by_text("Undone: Set No. 34 aside.")).to_be_visible()
    assert row(dataset, 34).status == Status.PENDING

    page.keyboard.press("w")
    page.keyboard.type("half a sen")
    page.close(run_before_unload=False)  # in the middle of a word, at once
    # Its last request arrives.
    wait_for(lambda: [one for one in Draft.objects.all() if one.text == "half a sen"])
    page = page.context.new_page()
    page.goto(address("labelling:start"))
    at(page, 34)
    expect(page.locator("#text")).to_have_value("half a sen")
    page.locator("#text").focus()
    page.keyboard.press("End")
    page.keyboard.type("tence")
    page.keyboard.press("Control+Enter")
    for number in range(35, 43):
        at(page, number)
        page.keyboard.press("2")
    expect(page.get_by_role("heading", name="Every row has an answer.")).to_be_visible()
    photograph(page, "label-finished")
    assert row(dataset, 34).answer == "half a sentence"
    assert dataset.examples.filter(status=Status.APPROVED).count() == 42

    for _step in range(10):  # and it can be taken back, step by step
        page.keyboard.press("z")
        expect(page.locator(".told")).to_contain_text("Undone")
        page.wait_for_load_state()
        page.evaluate("document.querySelector('.told').textContent = ''")
    at(page, 33)
    assert dataset.examples.filter(status=Status.PENDING, answer="").count() == 10
    assert faults(wrong) == []


def test_sentences_and_the_help(dataset, owner, as_owner, browser, address):
    add_pending_rows(dataset, owner, 3)
    page = browser(as_owner).new_page()
    wrong = listen(page)
    page.goto(address("labelling:start"))
    at(page, 1)
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.type("We will call you back? Yes, soon")  # a question mark opens no help
    photograph(page, "label-free")
    page.keyboard.press("Control+Enter")
    at(page, 2)
    assert row(dataset, 1).answer == "We will call you back? Yes, soon"
    expect(page.locator("#text")).to_be_focused()  # else Escape would come before there is a field
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_visible()
    photograph(page, "label-keys")
    page.keyboard.press("s")  # silent while the sheet is open
    at(page, 2)
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_be_hidden()
    page.keyboard.press("Backspace")  # does nothing at all
    page.keyboard.press("s")
    at(page, 3)
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("Escape")
    expect(page.get_by_role("heading", name="Are these good examples?")).to_be_visible()
    photograph(page, "label-table")
    assert row(dataset, 2).status == Status.PENDING
    assert faults(wrong) == []


def test_without_script_everything_is_a_form(dataset, owner, as_owner, browser, address):
    add_pending_rows(dataset, owner, 2)
    page = browser(as_owner, java_script_enabled=False).new_page()
    page.goto(address("labelling:start"))
    page.get_by_label("Answer", exact=True).fill("half a sen")
    page.get_by_role("button", name="Skip").click()
    at(page, 2)
    page.get_by_role("button", name="Skip").click()
    at(page, 1)
    expect(page.get_by_label("Answer", exact=True)).to_have_value("half a sen")
    page.get_by_role("button", name="Save and continue").click()
    at(page, 2)
    page.get_by_role("button", name="Undo").click()
    at(page, 1)
    assert row(dataset, 1).answer == ""


def test_two_people_disagree_and_settle_it(
    dataset, owner, editor, as_owner, as_editor, browser, address
):
    """Mara and Jonas, each in a browser of their own, answer the same rows blindly."""
    dataset.labels, dataset.twice_percent = ANSWERS, 100
    dataset.save()
    add_pending_rows(dataset, owner, 2)
    mara, jonas = browser(as_owner).new_page(), browser(as_editor).new_page()
    for page in (mara, jonas):
        page.goto(address("labelling:start"))
        at(page, 1)
        expect(page.get_by_text("neither sees the other’s answer")).to_be_visible()
    mara.keyboard.press("1")
    at(mara, 2)
    jonas.reload()
    expect(jonas.locator(".key.chosen")).to_have_count(0)  # nothing of hers is to be seen
    expect(jonas.locator("main")).not_to_contain_text("Mara")
    jonas.keyboard.press("1")
    at(jonas, 2)
    assert row(dataset, 1).answer == "bell"
    assert row(dataset, 1).status == Status.APPROVED

    mara.keyboard.press("1")
    expect(mara.get_by_role("heading", name="You have answered all your rows.")).to_be_visible()
    jonas.keyboard.press("2")
    expect(jonas.get_by_text("1 disagreement is left to settle.")).to_be_visible()
    assert row(dataset, 2).status == Status.DISPUTED

    jonas.get_by_role("link", name="Settle them").click()
    at(jonas, 2)
    expect(jonas.get_by_text("Take Mara’s")).to_be_visible()
    expect(jonas.locator(".key.chosen")).to_have_count(0)
    photograph(jonas, "label-disputed")
    jonas.keyboard.press("1")  # the first of the two that stand side by side
    expect(jonas.get_by_role("heading", name="This queue is empty.")).to_be_visible()
    assert row(dataset, 2).answer == "bell"
    jonas.goto(address("labelling:assignment"))
    expect(jonas.get_by_text("The same answer on 1 of 2 rows.")).to_be_visible()
    photograph(jonas, "label-together")


def test_suggestions_are_accepted_changed_and_sent_away(dataset, owner, as_owner, browser, address):
    add_pending_rows(dataset, owner, 4)
    for number in (1, 2, 3):
        suggestions.add_suggestion(
            example_id=row(dataset, number).pk,
            candidate_id=1,
            source="Instructions 2, Tiny",
            answer=f"suggestion {number}",
        )
    page = browser(as_owner).new_page()
    page.goto(address("labelling:start"))
    at(page, 1)
    expect(page.get_by_text("Suggested by Instructions 2, Tiny.")).to_be_visible()
    photograph(page, "label-suggested")
    page.keyboard.press("Enter")
    at(page, 2)
    page.locator("#text").click()
    page.keyboard.press("Control+End")
    page.keyboard.type(", corrected")
    page.keyboard.press("Control+Enter")
    at(page, 3)
    page.keyboard.press("r")
    expect(page.locator("#text")).to_have_value("")
    page.keyboard.type("my own")
    page.keyboard.press("Control+Enter")
    at(page, 4)
    said = list(dataset.examples.order_by("number").values_list("answer", flat=True))
    assert said == ["suggestion 1", "suggestion 2, corrected", "my own", ""]


def test_a_suggestion_beside_a_text_of_one_s_own(dataset, owner, as_owner, browser, address):
    """They had begun before the model came: its words wait beside theirs."""
    proposed = "Thank you for writing.\nYour bicycle is ready on Friday."
    add_pending_rows(dataset, owner, 2)
    page = browser(as_owner).new_page()
    wrong = listen(page)
    page.goto(address("labelling:start"))
    at(page, 1)
    page.keyboard.type("We call y")
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    at(page, 2)
    suggestions.add_suggestion(
        example_id=row(dataset, 1).pk,
        candidate_id=1,
        source="Instructions 2, Tiny",
        answer=proposed,
    )
    expect(page.locator("#text")).to_be_focused()
    page.keyboard.press("Escape")
    page.keyboard.press("s")
    at(page, 1)
    box = page.locator("#text")
    expect(box).to_have_value("We call y")
    expect(page.get_by_role("heading", name="Suggested by Instructions 2, Tiny")).to_be_visible()
    photograph(page, "label-beside")
    page.keyboard.press("t")
    expect(box).to_have_value(proposed)
    photograph(page, "label-taken")
    page.keyboard.press("z")
    expect(box).to_have_value("We call y")
    page.get_by_role("button", name="Do it again").click()
    expect(box).to_have_value(proposed)
    page.get_by_role("button", name="Accept").click()
    at(page, 2)
    assert row(dataset, 1).answer == proposed
    assert faults(wrong) == []


def test_from_a_handful_to_more(dataset, goal, as_owner, browser, address):
    goal.pairs = [{"prompt": "My card was swallowed", "answer": "card_swallowed"}]
    goal.save()
    page = browser(as_owner).new_page()
    wrong = listen(page)
    page.goto(address("datasets:page"))
    page.get_by_role("link", name="I have only a handful: help me write more").click()
    photograph(page, "ideas")
    for prompt in ("It ate my card", "CARD GONE!!"):
        page.get_by_label("Somebody writes").fill(prompt)
        page.get_by_label("it should answer").fill("card_swallowed")
        page.wait_for_load_state()  # the keys belong to a deferred script
        page.keyboard.press("Control+Enter")
        expect(page.locator("main")).to_contain_text("Added No.")
    expect(page.get_by_role("heading", name="2 of 50")).to_be_visible()
    page.goto(address("datasets:page").replace("/dataset/", "/suggestions/"))
    photograph(page, "suggestions-none")
    assert faults(wrong) == []
