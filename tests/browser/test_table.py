"""The table in a real browser: filters one can go back from, many rows changed and brought back."""

import re

import pytest
from playwright.sync_api import Page, expect

from finetune_app.checks import services as checks
from finetune_app.datasets.services import add_rows, dataset_of
from tests.browser.conftest import faults, listen
from tests.example_rows import conversation, pair

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(transactional_db, new_context, live_server, goal, owner, as_owner) -> Page:
    """The owner before sixty examples."""
    dataset = dataset_of(goal)
    rows = [{"messages": conversation(*pair(number))} for number in range(60)]
    add_rows(dataset=dataset, by=owner, rows=rows, source="emails.csv")
    checks.run_checks(dataset)
    context = new_context()
    context.set_default_timeout(10_000)
    context.add_cookies(
        [
            {"name": name, "value": one.value, "url": live_server.url}
            for name, one in as_owner.cookies.items()
        ]
    )
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/dataset/")
    return page


def rows(page: Page):
    return page.locator("table.examples tbody tr")


def test_filters_stand_in_the_address_and_one_can_go_back(page):
    wrong = listen(page)
    page.get_by_role("searchbox", name="Search the examples").fill("saddle")
    expect(page).to_have_url(re.compile(r"\?q=saddle$"))
    expect(rows(page)).to_have_count(6)
    page.get_by_label("In the order of").select_option("longest")
    expect(page).to_have_url(re.compile(r"\?q=saddle&sort=longest$"))
    page.go_back()
    expect(page).to_have_url(re.compile(r"\?q=saddle$"))
    expect(rows(page)).to_have_count(6)
    expect(page.get_by_role("heading", name="Are these good examples?")).to_be_visible()
    expect(page.get_by_label("In the order of")).to_have_value("")
    page.go_back()
    expect(rows(page)).to_have_count(50)
    assert faults(wrong) == []


def test_many_rows_are_set_aside_and_brought_back(page):
    wrong = listen(page)
    for number in (2, 5):
        page.get_by_label(f"Tick No. {number}", exact=True).check()
    expect(page.locator("#which option:checked")).to_have_text("the ticked rows: 2")
    page.get_by_label("What to do with them").select_option("set_aside")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", name="Set 2 examples aside?")).to_be_visible()
    page.get_by_role("button", name="Set aside").click()
    expect(page.locator(".messages")).to_contain_text("Set 2 examples aside.")
    expect(page.locator("#row-2")).to_contain_text("Set aside")
    page.locator(".messages").get_by_role("button", name="Undo").click()
    expect(page.locator(".messages")).to_contain_text("Undone.")
    expect(page.locator("#row-2")).to_contain_text("Approved")
    page.get_by_label("Tick all rows of this page").check()
    expect(page.locator("#which option:checked")).to_have_text("the ticked rows: 50")
    assert faults(wrong) == []
