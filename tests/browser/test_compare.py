"""“Compare methods”: choose who takes part, press once, read which way is enough."""

import pytest
from playwright.sync_api import expect

from finetune_app.evaluation.models import Evaluation
from finetune_app.jobs import services
from tests import journey
from tests.browser.browser_session import sign_in

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def page(goal, owner, as_owner, new_context, live_server, monkeypatch):
    """The launch page of a goal with a trained model; the answers are told as a worker tells."""
    monkeypatch.setattr(services, "wake_worker", lambda job: True)
    journey.trained(journey.ready(goal, owner), owner)
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{goal.pk}/evaluation/?new")
    return page


def test_one_button_runs_every_way_and_one_sentence_follows(page):
    expect(page.get_by_label("With a good prompt")).to_be_checked()
    expect(page.get_by_label("Tuned")).to_be_checked()
    page.get_by_role("button", name="Compare methods").click()
    expect(page.get_by_text("About to start")).to_be_visible()

    evaluation = Evaluation.objects.get()
    journey.answer_all(evaluation, lambda prompt, kind: (prompt.wanted, kind != "base"))
    journey.finish(evaluation)
    expect(page.locator("#conclusion")).to_be_visible(timeout=30_000)  # it was watching
    assert "A good prompt is enough" in page.locator("#conclusion").inner_text()
    methods = page.get_by_role("region", name="Which method is enough?")
    chosen = methods.locator(".chosen")
    expect(chosen).to_have_count(1)
    expect(chosen).to_contain_text("With a good prompt")
    assert methods.locator("tbody tr").count() == 3


def test_a_candidate_that_is_not_ticked_is_left_out(page):
    page.get_by_label("With a good prompt").uncheck()
    page.get_by_role("button", name="Compare methods").click()
    expect(page.get_by_text("About to start")).to_be_visible()
    assert not Evaluation.objects.get().others.exists()
