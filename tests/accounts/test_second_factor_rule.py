"""A team that asks its members for a second factor."""

import pytest

from finetune_app.accounts.models import Team
from finetune_app.api_keys import services as api_keys
from finetune_app.audit.models import AuditEntry
from tests.accounts.authenticator_app import add_app, confirmed
from tests.accounts.pages import text
from tests.api_keys.api import ask

RULE = "/team/second-factor/"
ON = {"required": "1"}


@pytest.fixture
def asked(team) -> Team:
    team.requires_second_factor = True
    team.save()
    return team


def test_the_owner_asks_for_it_and_sees_who_has_none(owner, editor, team):
    browser = confirmed(owner)
    add_app(browser)
    assert browser.post(RULE, ON)["Location"] == "/team/"
    page = text(browser.get("/team/"))
    assert "jonas@kettle.example · no second factor yet" in " ".join(page.split())
    assert page.count("no second factor yet") == 1
    assert AuditEntry.objects.last().action == "team.second_factor_rule"
    browser.post(RULE, {})
    team.refresh_from_db()
    assert not team.requires_second_factor


def test_an_owner_without_one_cannot_ask_for_it(as_owner, team):
    response = as_owner.post(RULE, ON)
    assert response.status_code == 409
    assert "Add a second factor to your own account first" in text(response)
    team.refresh_from_db()
    assert not team.requires_second_factor


def test_a_member_without_one_is_led_to_add_it(as_editor, asked, goal):
    for page in ("/", "/team/", "/team/keys/", f"/goals/{goal.pk}/dataset/"):
        assert as_editor.get(page)["Location"] == "/account/second-factor/", page
    page = text(as_editor.get("/account/second-factor/"))
    assert "Kettle Lane Cycles asks its members for a second factor" in page


def test_a_member_without_one_changes_nothing(as_editor, asked):
    response = as_editor.post("/team/keys/new/", {"name": "x"})
    assert response.status_code == 403
    assert "asks its members for a second factor" in text(response)


def test_a_part_of_a_page_is_refused_too(as_editor, asked, goal):
    page = f"/goals/{goal.pk}/dataset/"
    assert as_editor.get(page, headers={"HX-Request": "true"}).status_code == 403


def test_a_member_with_one_works_on(editor, asked):
    browser = confirmed(editor)
    add_app(browser)
    assert browser.get("/").status_code == 200
    assert browser.get("/team/").status_code == 200


def test_a_member_without_one_may_still_leave_or_go_to_another_team(as_editor, owner, asked):
    assert as_editor.get("/account/").status_code == 200
    assert as_editor.post("/teams/new/", {"name": "Mine"}).status_code == 302
    assert as_editor.get("/team/").status_code == 200


def test_a_goal_of_that_team_is_closed_from_another_team_too(as_editor, editor, asked, goal):
    mine = Team.objects.create(name="Mine")
    mine.memberships.create(user=editor)
    as_editor.post("/teams/switch/", {"team": mine.pk})
    assert as_editor.get("/team/").status_code == 200
    response = as_editor.get(f"/goals/{goal.pk}/dataset/")
    assert response["Location"] == "/account/second-factor/"


def test_api_keys_go_on(asked, editor):
    _key, key_text = api_keys.create_key(team=asked, by=editor, name="the mailbox")
    assert ask(key_text, "/v1/models", "GET").status_code == 200


def test_editors_viewers_and_strangers_cannot_change_the_rule(
    as_editor, as_viewer, as_stranger, asked
):
    assert as_editor.post(RULE, {}).status_code == 403
    assert as_viewer.post(RULE, {}).status_code == 403
    as_stranger.post(RULE, {})
    asked.refresh_from_db()
    assert asked.requires_second_factor


def test_opening_the_address_changes_nothing(as_owner, team):
    assert as_owner.get(RULE).status_code == 405
