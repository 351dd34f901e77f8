"""What hands and tabs do that nobody plans: press twice, go back, edit in two places."""

import re
from collections.abc import Callable

import pytest
from django.urls import reverse
from playwright.sync_api import BrowserContext, Page, expect

from finetune_app.goals.models import Goal
from finetune_app.jobs import services
from tests.browser.browser_session import sign_in
from tests.browser.conftest import listen
from tests.factories import World, build_world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def world(transactional_db, team, owner, monkeypatch) -> World:
    monkeypatch.setattr(services, "wake_worker", lambda job: True)  # nobody works here
    return build_world(team, owner)


@pytest.fixture
def open_page(new_context, live_server, as_owner) -> Callable[..., Page]:
    """A page of the app in a browser that the owner is signed in to."""
    contexts: list[BrowserContext] = []

    def open_(name: str, query: str = "", script: bool = True, **ids) -> Page:
        if not contexts:
            contexts.append(new_context(java_script_enabled=script))
            sign_in(contexts[0], as_owner, live_server.url)
        page = contexts[0].new_page()
        page.goto(live_server.url + reverse(name, kwargs=ids) + query)
        return page

    return open_


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_a_double_click_on_train_makes_one_training(world, open_page, script):
    page = open_page("training:page", "?new", script, goal_id=world.goal.pk)
    page.get_by_role("button", name="Train", exact=True).dblclick()
    expect(page).to_have_url(re.compile("/training/2/$"))  # however often the browser went there
    assert world.goal.trainings.count() == 2  # the world's own, and this one


def test_going_back_to_a_deleted_goal_says_that_it_is_gone(world, open_page):
    page = open_page("goals:page", goal_id=world.goal.pk)
    page.get_by_role("link", name="Delete this goal").click()
    page.get_by_role("button", name="Delete everything in it").click()
    page.wait_for_url("**/")
    assert not Goal.objects.filter(pk=world.goal.pk).exists()
    wrong = listen(page)
    page.go_back()
    page.reload()
    expect(page.get_by_role("heading", name="There is nothing at this address.")).to_be_visible()
    page.get_by_role("link", name="To your goals").click()
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    assert all("404" in words for words in wrong), wrong


def test_the_second_of_two_tabs_is_told_that_the_example_has_changed(world, open_page):
    first, second = (
        open_page("datasets:example", goal_id=world.goal.pk, number=1) for _tab in range(2)
    )
    write(first, "service_due")
    expect(first.get_by_text("Saved No. 1").first).to_be_visible()
    write(second, "order_status")
    told = second.get_by_role("alert")
    expect(told).to_contain_text("changed this row while you were writing")
    expect(second.get_by_label("Answer you want").first).to_have_value("order_status")
    expect(second.locator("tr.open")).to_contain_text("service_due")  # theirs, beside mine
    world.example.refresh_from_db()
    assert world.example.answer == "service_due"

    second.get_by_role("button", name="Save", exact=True).click()
    expect(second.get_by_text("Saved No. 1").first).to_be_visible()
    world.example.refresh_from_db()
    assert world.example.answer == "order_status"


def test_what_was_typed_into_a_row_outlives_its_tab(world, open_page):
    """Closed, filtered anew, forgotten, saved: only the last two let go of it."""
    where = {"goal_id": world.goal.pk, "number": 1}
    page = open_page("datasets:example", **where)
    box, kept = page.get_by_label("Answer you want"), page.get_by_text("have not saved it yet")
    saved = box.first.input_value()
    expect(kept).to_have_count(0)
    box.first.fill("half an ans")
    page.close()

    page = open_page("datasets:example", **where)
    box, kept = page.get_by_label("Answer you want"), page.get_by_text("have not saved it yet")
    expect(box.first).to_have_value("half an ans")
    expect(kept).to_be_visible()
    box.first.fill("half an answer")
    page.get_by_role("navigation", name="Filter").get_by_role("link", name="Approved").click()
    expect(page.locator("tr.open")).to_have_count(0)
    page.locator("#row-1 td.prompt a").click()
    expect(box.first).to_have_value("half an answer")
    page.get_by_role("button", name="Discard it", exact=True).click()
    expect(box.first).to_have_value(saved)
    expect(kept).to_have_count(0)

    box.first.fill("a whole answer")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("Saved No. 1").first).to_be_visible()
    page.locator("#row-1 td.prompt a").click()
    expect(box.first).to_have_value("a whole answer")
    expect(kept).to_have_count(0)


def test_what_was_typed_is_gone_after_signing_out(world, open_page):
    page = open_page("datasets:write", goal_id=world.goal.pk)
    page.get_by_label("When somebody writes").fill("Half a question")
    page.reload()
    expect(page.get_by_label("When somebody writes")).to_have_value("Half a question")
    page.locator("details.you summary").click()
    page.get_by_role("button", name="Sign out").click()
    page.wait_for_load_state()
    assert page.evaluate("Object.keys(localStorage)") == []


def write(page: Page, answer: str) -> None:
    page.get_by_label("Answer you want").first.fill(answer)
    page.get_by_role("button", name="Save", exact=True).click()
