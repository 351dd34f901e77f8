"""“Ask a judge”: agree, choose, say what is good; a judge that goes by the place is refused."""

import pytest
from playwright.sync_api import expect

from finetune_app.jobs import services
from finetune_app.judging.models import JudgeRun
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.steps import look, press
from tests.judging import planted_judges
from tests.judging.conftest import EXAMPLES, attempt, styled_answers
from tests.judging.planted_judges import as_model
from tests.providers.conftest import endpoint, platform  # noqa: F401

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(goal, owner, as_owner, endpoint, new_context, live_server, monkeypatch):  # noqa: F811
    """The verdict page of a finished evaluation, in a team with a remote model."""
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    journey.freeze(goal, owner, EXAMPLES)
    training = journey.trained(journey.ready(goal, owner), owner)
    evaluation = journey.evaluated(training, owner, say=styled_answers)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/evaluation/{evaluation.pk}/")
    return page


def ask(page, endpoint) -> JudgeRun:  # noqa: F811
    """Press through to a waiting judge."""
    press(page, "^Ask (a|another) judge$")
    consent = page.get_by_label("I agree to this for the team")
    if not page.get_by_role("radio").is_checked():
        expect(consent).to_be_hidden()
        page.get_by_text(endpoint.name, exact=True).click()
    page.get_by_label("What makes an answer good").fill("The right topic and due date.")
    consent.check()
    look(page, "judge-ask")
    press(page, "Ask this judge")
    expect(page.get_by_text("About to start")).to_be_visible()
    look(page, "judge-running")
    return JudgeRun.objects.latest("pk")


def test_a_judge_is_refused_for_bias_and_another_is_heard(page, endpoint, platform):  # noqa: F811
    wrong = listen(page)
    verdict = page.locator("#verdict h1").inner_text()
    platform.reply_to = as_model(planted_judges.first_place)
    attempt(ask(page, endpoint))
    expect(page.locator("#opinion")).to_be_visible(timeout=30_000)  # it was watching
    expect(page.locator("h1")).to_have_text("It prefers whichever answer comes first.")
    expect(page.get_by_text("what it preferred is not shown")).to_be_visible()
    look(page, "judge-refused")

    press(page, "Back to the verdict")
    expect(page.locator("#verdict h1")).to_have_text(verdict)
    section = page.locator("#second-opinion")
    expect(section).to_contain_text("Refused for bias")
    expect(section).to_contain_text("It prefers whichever answer comes first.")

    run = JudgeRun.objects.get()
    wanted = dict(run.evaluation.comparisons.values_list("prompt", "wanted"))
    platform.reply_to = as_model(planted_judges.good(wanted))
    attempt(ask(page, endpoint))
    expect(page.locator("h1")).to_have_text("The judge prefers the tuned model.", timeout=30_000)
    look(page, "judge-passed")
    press(page, "Back to the verdict")
    expect(section).to_contain_text("The judge prefers the tuned model.")
    look(page, "judge-beside-verdict")
    assert faults(wrong) == []
