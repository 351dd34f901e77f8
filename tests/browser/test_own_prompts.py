"""Own prompts: paste them, wait, mark by keys without names, show the names."""

import re

import pytest
from playwright.sync_api import expect

from finetune_app.jobs import services
from finetune_app.prompt_sheets.models import Mark, PromptSheet
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.steps import look, press
from tests.prompt_sheets.conftest import place_of, record

pytestmark = pytest.mark.django_db(transaction=True)


def test_prompts_are_pasted_read_without_names_and_then_with_them(
    goal, owner, as_owner, new_context, live_server, monkeypatch
):
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    journey.trained(journey.ready(goal, owner), owner)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    wrong = listen(page)

    page.goto(f"{live_server.url}/goals/{goal.pk}/evaluation/")
    page.get_by_role("link", name="Try your own prompts").click()
    press(page, "Bring prompts")
    page.get_by_label("Your prompts, one a line").fill("Do you sell tyres?\nWhere is it?")
    look(page, "own-prompts")
    press(page, "Ask them")
    expect(page.get_by_text("About to start")).to_be_visible()

    sheet = PromptSheet.objects.get()
    for prompt in sheet.prompts.all():
        for candidate in sheet.ordered_candidates():
            record(sheet, candidate, prompt.index, f"{candidate.kind} {prompt.index}")
    journey.end(sheet.job)
    expect(page.get_by_text("Prompt 1 of 2")).to_be_visible(timeout=30_000)  # it was watching
    expect(page.get_by_role("heading", name="Tuned")).to_have_count(0)
    page.keyboard.press(str(int(place_of(sheet, 0, "tuned")) + 1))
    expect(page.get_by_text("Prompt 2 of 2")).to_be_visible()
    page.keyboard.press("n")
    expect(page.get_by_text("you preferred none")).to_be_visible()
    look(page, "own-prompts-hidden")
    marks = Mark.objects.values_list("prompt__index", "preferred__kind")
    assert dict(marks) == {0: "tuned", 1: None}

    press(page, "Show the names")
    expect(page.get_by_role("heading", name="Tuned")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Tuned 1"))).to_be_visible()
    look(page, "own-prompts-shown")
    assert faults(wrong) == []
