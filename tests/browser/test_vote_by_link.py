"""A colleague without an account compares answers by a link, with the keyboard, from a browser of
their own; the team then reads what people say beside the verdict of the measure."""

import pytest
from playwright.sync_api import Page, expect

from finetune_app.evaluation.models import Evaluation, Voter
from finetune_app.evaluation.votes.ballots import control_of
from tests import journey
from tests.browser.browser_session import sign_in
from tests.browser.conftest import faults, listen
from tests.browser.looker import AXE, NARROW
from tests.browser.person import photograph
from tests.deployment_fixtures import separate_rate_limits  # noqa: F401
from tests.evaluation.conftest import different_answers

pytestmark = pytest.mark.django_db(transaction=True)
KEYS = ("1", "2")
ARROWS = ("ArrowLeft", "ArrowRight")


@pytest.fixture
def evaluation(goal, owner) -> Evaluation:
    """A measure says that ours is right on every prompt."""
    training = journey.trained(journey.ready(goal, owner), owner)

    def say(prompt, kind):
        return different_answers(prompt, kind)[0], kind == "tuned"

    return journey.evaluated(training, owner, say=say)


@pytest.fixture
def team_page(evaluation, as_owner, new_context, live_server) -> Page:
    """The verdict, in the owner's browser."""
    context = new_context()
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    page.goto(f"{live_server.url}/goals/{evaluation.goal_id}/evaluation/{evaluation.pk}/")
    return page


@pytest.fixture
def guest_page(new_context) -> Page:
    """Another browser, without an account."""
    return new_context().new_page()


def make_link(page: Page, server: str) -> str:
    page.get_by_role("link", name="Ask people").click()
    page.get_by_label("What should they look at").fill("You are the customer.")
    page.get_by_role("button", name="Create a link").click()
    link = page.get_by_label("Link for votes").input_value()
    return server + link[link.index("/vote/") :]


def key_for(voter: Voter, position: int, keys: tuple[str, str]) -> str:
    """The key of ours; of the other answer on control pairs."""
    pair = voter.pairs[position]
    wanted_left = (pair["left"] == "ours") != bool(control_of(pair))
    return keys[0] if wanted_left else keys[1]


def axe_violations(page: Page) -> list[str]:
    found = AXE.run(page).response["violations"]
    return [f"{one['id']}: {one['help']}" for one in found]


def test_a_colleague_votes_by_link_with_the_keyboard(
    evaluation, team_page, guest_page, live_server
):
    wrong = listen(guest_page)
    address = make_link(team_page, live_server.url)
    guest_page.goto(address)
    assert not axe_violations(guest_page)
    photograph(guest_page, "vote-start")
    guest_page.get_by_label("Your name").fill("Lena")
    guest_page.keyboard.press("Tab")  # out of the field, where keys are text
    guest_page.get_by_role("button", name="Begin").click()

    voter = Voter.objects.get()
    total = len(voter.pairs)
    expect(guest_page.get_by_text(f"Pair 1 of {total}").first).to_be_visible()
    assert not axe_violations(guest_page)
    photograph(guest_page, "vote-ballot")
    guest_page.keyboard.press("3")
    expect(guest_page.get_by_text(f"Pair 2 of {total}").first).to_be_visible()
    guest_page.keyboard.press("z")
    for position in range(total):
        expect(guest_page.get_by_text(f"Pair {position + 1} of {total}").first).to_be_visible()
        keys = ARROWS if position % 2 else KEYS
        guest_page.keyboard.press(key_for(voter, position, keys))
    expect(guest_page.get_by_role("heading", name="Thank you.")).to_be_visible()
    assert not axe_violations(guest_page)
    photograph(guest_page, "vote-thanks")
    assert faults(wrong) == []

    prompts = evaluation.comparisons.count()
    team_page.goto(team_page.url.split("/links/")[0] + "/")
    expect(team_page.locator("#people .lead")).to_contain_text(
        f"people preferred the tuned model on {prompts} of {prompts} prompts"
    )
    expect(team_page.get_by_text("preferred the question repeated").first).to_be_visible()
    expect(team_page.get_by_role("row", name="Lena")).to_be_visible()
    assert not axe_violations(team_page)
    photograph(team_page, "votes")
    team_page.get_by_role("link", name="To the verdict").click()
    expect(team_page.locator(".people-say")).to_contain_text("they agree on")
    photograph(team_page, "verdict-people-say")


def test_a_colleague_votes_on_a_phone_without_javascript(
    evaluation, team_page, new_context, live_server
):
    address = make_link(team_page, live_server.url)
    page = new_context(viewport=NARROW, java_script_enabled=False, has_touch=True).new_page()
    page.goto(address)
    page.get_by_role("button", name="Begin").tap()
    for button in ("A is better", "About the same", "Neither"):
        page.get_by_role("button", name=button).tap()
    expect(page.get_by_text("Pair 4 of").first).to_be_visible()
    page.get_by_role("button", name="Undo the last vote").tap()
    expect(page.get_by_text("Pair 3 of").first).to_be_visible()
    page.get_by_role("link", name="Stop here").tap()
    expect(page.get_by_role("heading", name="Thank you.")).to_be_visible()
    assert evaluation.votes.count() == 2
