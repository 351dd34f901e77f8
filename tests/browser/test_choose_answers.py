"""Somebody has prompts answered twice and chooses with the keyboard; a colleague helps on a phone
without JavaScript; the version with their choices leads to the training."""

import pytest
from playwright.sync_api import Page, expect

from finetune_app.jobs import services as job_services
from finetune_app.preferences.models import AnswerPair, PreferenceRun
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.looker import AXE, NARROW
from tests.browser.person import photograph
from tests.preferences.conftest import record, side_of

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def address(goal, owner, live_server, monkeypatch) -> str:
    """Of the page; the goal has examples and a base model."""
    monkeypatch.setattr(job_services, "wake_worker", lambda job: True)
    journey.ready(goal, owner)
    return f"{live_server.url}/goals/{goal.pk}/dataset/choices/"


def answer_all(run: PreferenceRun) -> None:
    for one in run.answer_pairs.select_related("example"):
        number = one.example.number
        record(run, one, first=f"good: {number}, gladly", second=f"bad: {number}, whatever")
    journey.end(run.job)


def on_the_page(page: Page) -> AnswerPair:
    pk = page.locator("input[name=pair]").first.get_attribute("value")
    return AnswerPair.objects.get(pk=pk)


def choose_good(page: Page) -> None:
    page.keyboard.press("1" if side_of(on_the_page(page), "good") == "a" else "ArrowRight")


def axe_violations(page: Page) -> list[str]:
    found = AXE.run(page).response["violations"]
    return [f"{one['id']}: {one['help']}" for one in found]


def test_two_people_choose_with_the_keyboard_and_on_a_phone(
    address, goal, new_context, as_owner, as_editor, live_server
):
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    wrong = listen(page)
    page.goto(address)
    page.get_by_label("How many prompts").select_option("40")
    assert not axe_violations(page)
    photograph(page, "choices-start")
    page.get_by_role("button", name="Write two answers each").click()
    expect(page.get_by_text("0 of 40 prompts answered")).to_be_visible()
    answer_all(goal.preference_runs.get())
    page.get_by_role("link", name="Choose", exact=True).click()  # it came with the progress

    expect(page.get_by_text("Prompt 1 of 40")).to_be_visible()
    assert not axe_violations(page)
    photograph(page, "choices-ballot")
    choose_good(page)
    expect(page.get_by_text("Prompt 2 of 40")).to_be_visible()
    page.keyboard.press("3")
    expect(page.get_by_text("2 of 40 chosen")).to_be_visible()
    page.keyboard.press("z")
    expect(page.get_by_text("1 of 40 chosen")).to_be_visible()
    page.keyboard.press("4")
    page.get_by_label("Answer A, made better").fill("The best of all.")
    assert not axe_violations(page)
    photograph(page, "choices-write")
    page.get_by_role("button", name="Save and continue").click()
    expect(page.get_by_text("2 of 40 chosen")).to_be_visible()
    mine = on_the_page(page)

    phone = new_context(viewport=NARROW, java_script_enabled=False, has_touch=True)
    sign_in(phone, as_editor, live_server.url)
    theirs = phone.new_page()
    theirs.goto(address + "choose/")
    assert on_the_page(theirs) != mine
    for chosen, button in enumerate(("A is better", "Neither is good", "B is better"), start=3):
        theirs.get_by_role("button", name=button).tap()
        expect(theirs.get_by_text(f"{chosen} of 40 chosen")).to_be_visible()
    theirs.get_by_role("button", name="Undo").tap()
    expect(theirs.get_by_text("4 of 40 chosen")).to_be_visible()
    theirs.get_by_role("button", name="A is better").tap()
    expect(theirs.get_by_text("5 of 40 chosen")).to_be_visible()

    page.reload()
    for number in range(6, 40):
        expect(page.get_by_text(f"Prompt {number} of 40")).to_be_visible()
        choose_good(page)
    expect(page.get_by_role("heading", name="Somebody else is looking at the last")).to_be_visible()
    theirs.get_by_role("button", name="A is better").tap()
    expect(page.get_by_role("heading", name="39 choices made.")).to_be_visible()
    assert not axe_violations(page)
    photograph(page, "choices-end")
    page.get_by_role("button", name="Freeze version 2").click()
    expect(page).to_have_url(f"{live_server.url}/goals/{goal.pk}/training/?new&method=dpo")
    assert faults(wrong) == []
