"""Choose a measure on its page: the settings of the chosen one unfold, errors stay beside them."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from finetune_app.goals import services
from tests.browser.browser_session import sign_in
from tests.browser.conftest import listen

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("script", [True, False], ids=["with script", "without script"])
def test_the_settings_of_the_chosen_measure_unfold(
    goal, as_owner, new_context, live_server, script
):
    goal.pairs = [{"prompt": "How many bells are in the box?", "answer": "12 bells"}]
    goal.save()
    services.choose_measure(goal=goal, kind="number", settings={})
    context = new_context(java_script_enabled=script)
    sign_in(context, as_owner, live_server.url)
    page = context.new_page()
    wrong = listen(page)
    page.goto(live_server.url + reverse("goals:measure", args=[goal.pk]))

    expect(page.get_by_role("radio", name="The right number")).to_be_checked()
    chosen = page.locator("#settings-number")
    expect(chosen.get_by_text("Whoever only repeats the question")).to_be_visible()
    expect(page.get_by_label("May be off by")).to_be_visible()
    expect(page.get_by_label("Pattern (a regular expression)")).to_be_hidden()

    page.get_by_role("radio", name="What a pattern finds").check()
    expect(page.get_by_label("May be off by")).to_be_hidden()
    page.get_by_label("Pattern (a regular expression)").fill("(bell")
    page.get_by_role("button", name="Use this measure").click()
    expect(page.get_by_text("This pattern cannot be read")).to_be_visible()
    expect(page.get_by_label("Pattern (a regular expression)")).to_have_value("(bell")

    page.get_by_label("Pattern (a regular expression)").fill("bells?")
    page.get_by_role("button", name="Use this measure").click()
    page.wait_for_url(lambda url: "/measure/" not in url)
    goal.refresh_from_db()
    assert (goal.measure, goal.measure_settings["pattern"]) == ("pattern", "bells?")
    assert not [words for words in wrong if "422" not in words]
