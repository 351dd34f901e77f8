"""Somebody comes from OpenAI with a training file, the job and an exported evaluation, sees what is
found and what is left out, and has a goal with its training."""

import pytest
from playwright.sync_api import Page, expect

from finetune_app.goals.models import Goal
from finetune_app.jobs import services as jobs
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.steps import look, press
from tests.openai_import.conftest import job_file, suite_file, training_file  # noqa: F401

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(300)]


@pytest.fixture
def page(transactional_db, owner, as_owner, new_context, live_server, monkeypatch) -> Page:
    monkeypatch.setattr(jobs, "wake_worker", lambda job: True)
    journey.install("tiny")
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(live_server.url)
    return page


def choose(page: Page, label: str, file) -> None:
    content = {"name": file.name, "mimeType": "application/json", "buffer": file.read()}
    page.get_by_label(label).set_input_files(content)


def test_coming_from_openai(page, training_file, job_file, suite_file):  # noqa: F811
    wrong = listen(page)
    press(page, "Coming from OpenAI")
    press(page, "Look at it")
    expect(page.get_by_text("Choose a training file")).to_be_visible()
    choose(page, "Training file", training_file(60))
    choose(page, "Promptfoo configuration", suite_file)
    page.get_by_text("A validation file, or the job's settings").click()
    choose(page, "The job", job_file)
    press(page, "Look at it")
    expect(page.get_by_text("60 examples")).to_be_visible()
    expect(page.get_by_text("2 sealed test examples")).to_be_visible()
    expect(page.get_by_text("“latency” in every test is left out")).to_be_visible()
    expect(page.get_by_label("Passes at most")).to_have_value("4")
    look(page, "from-openai-check")
    press(page, "Make it and train")
    expect(page.get_by_role("heading", name="It is being trained.")).to_be_visible()
    page.reload()
    expect(page.get_by_role("heading", name="It is being trained.")).to_be_visible()
    assert Goal.objects.count() == 1
    press(page, "To the training")
    expect(page.get_by_text("tiny", exact=False).first).to_be_visible()
    assert [words for words in faults(wrong) if "422" not in words] == []  # the empty form
