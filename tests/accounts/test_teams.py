"""Several teams: creating, switching, deleting."""

import pytest

from finetune_app.accounts.models import Membership, Role, Team
from finetune_app.basemodels.models import BaseModel, BaseModelChoice
from finetune_app.goals.models import Goal
from tests.accounts.pages import text


def test_a_person_makes_a_second_team_and_is_in_it(as_viewer, viewer):
    assert as_viewer.post("/teams/new/", {"name": "My own"})["Location"] == "/"
    assert viewer.memberships.get(team__name="My own").role == Role.OWNER
    assert "My own" in text(as_viewer.get("/team/"))


def test_a_team_needs_a_name(as_viewer):
    assert as_viewer.post("/teams/new/", {"name": ""}).status_code == 422
    assert Team.objects.count() == 1


@pytest.fixture
def second(viewer) -> Team:
    team = Team.objects.create(name="Second")
    Membership.objects.create(team=team, user=viewer, role=Role.OWNER)
    return team


def test_the_menu_switches(as_viewer, second, team):
    form = {"team": second.pk, "next": "/team/"}
    assert as_viewer.post("/teams/switch/", form)["Location"] == "/team/"
    assert as_viewer.get("/team/").context["team"] == second
    as_viewer.post("/teams/switch/", {"team": team.pk})
    assert as_viewer.get("/team/").context["team"] == team


def test_a_team_that_does_not_exist_is_not_found(as_viewer):
    assert as_viewer.post("/teams/switch/", {"team": "999999"}).status_code == 404


@pytest.mark.parametrize("wrong", ["", "abc"])
def test_without_a_team_it_asks_for_one(as_viewer, wrong):
    response = as_viewer.post("/teams/switch/", {"team": wrong})
    assert response.status_code == 400
    assert "Choose the team" in text(response)


def test_another_team_is_not_found_either(as_stranger, team):
    assert as_stranger.post("/teams/switch/", {"team": team.pk}).status_code == 404


def test_switching_and_deleting_need_a_post(as_viewer, as_owner):
    assert as_viewer.get("/teams/switch/").status_code == 405
    assert as_owner.delete("/team/delete/").status_code == 405


def test_deleting_a_team_takes_its_goals(as_owner, team, goal, viewer):
    page = text(as_owner.get("/team/delete/"))
    assert "1 goal is deleted too" in page
    assert "1 other person" in page
    as_owner.post("/team/delete/", {"name": "kettle lane cycles"})
    assert not Team.objects.filter(pk=team.pk).exists()
    assert not Goal.objects.filter(pk=goal.pk).exists()


def test_a_base_model_of_the_team_does_not_prevent_deletion(as_owner, team, goal):
    model = BaseModel.objects.create(slug="ours", name="Ours", source="/models/ours", team=team)
    BaseModelChoice.objects.create(goal=goal, base_model=model)
    response = as_owner.post("/team/delete/", {"name": team.name})
    assert response.status_code == 302
    assert not BaseModel.objects.filter(pk=model.pk).exists()


def test_with_another_name_nothing_is_deleted(as_owner, team):
    response = as_owner.post("/team/delete/", {"name": "Another team"})
    assert response.status_code == 422
    assert "not the name" in text(response)
    assert Team.objects.filter(pk=team.pk).exists()


def test_an_editor_and_a_viewer_may_not_delete(as_editor, as_viewer, team):
    for browser in (as_editor, as_viewer):
        assert browser.get("/team/delete/").status_code == 403
        assert browser.post("/team/delete/", {"name": team.name}).status_code == 403
    assert Team.objects.filter(pk=team.pk).exists()
