"""Deleting an account: what is deleted, what stays, and when it is refused."""

import pytest
from axes.models import AccessAttempt

from finetune_app.accounts import services
from finetune_app.accounts.models import Invitation, Membership, Role, Team, User
from finetune_app.core.errors import PlainError
from finetune_app.goals.models import Goal
from tests.accounts.pages import text
from tests.conftest import PASSWORD

SURE = {"password": PASSWORD}


def test_a_deleted_members_team_stays(as_editor, editor, owner, goal):
    assert as_editor.post("/account/delete/", SURE)["Location"] == "/sign-in/"
    assert not User.objects.filter(pk=editor.pk).exists()
    assert Goal.objects.filter(pk=goal.pk).exists()
    assert as_editor.get("/account/").status_code == 302


def test_a_team_without_other_members_is_deleted_with_its_goals(as_owner, owner, team, goal):
    assert "1 goal" in text(as_owner.get("/account/delete/"))
    as_owner.post("/account/delete/", SURE)
    assert not Team.objects.filter(pk=team.pk).exists()
    assert not Goal.objects.filter(pk=goal.pk).exists()


def test_work_in_a_team_that_stays_is_kept(as_editor, editor, owner, team):
    theirs = Goal.objects.create(team=team, name="Theirs", created_by=editor)
    as_editor.post("/account/delete/", SURE)
    theirs.refresh_from_db()
    assert theirs.created_by is None


def test_the_only_owner_has_to_hand_over_first(as_owner, owner, editor):
    page = text(as_owner.get("/account/delete/"))
    assert "needs an owner" in page
    assert "Kettle Lane Cycles" in page
    assert as_owner.post("/account/delete/", SURE).status_code == 409
    assert User.objects.filter(pk=owner.pk).exists()


def test_after_handing_over_the_account_can_be_deleted(as_owner, owner, editor, team):
    Membership.objects.filter(user=editor).update(role=Role.OWNER)
    as_owner.post("/account/delete/", SURE)
    assert not User.objects.filter(pk=owner.pk).exists()
    assert Team.objects.filter(pk=team.pk).exists()


def test_the_service_enforces_the_rule_too(owner, editor):
    with pytest.raises(PlainError, match="only owner"):
        services.delete_account(user=owner)
    assert User.objects.filter(pk=owner.pk).exists()


def test_their_invitations_stop_working(as_editor, editor, owner, team):
    _made, secret = services.invite(team=team, role=Role.OWNER, by=editor)
    as_editor.post("/account/delete/", SURE)
    assert services.invitation_for(secret) is None
    assert not Invitation.objects.usable().exists()


def test_the_log_of_failed_sign_ins_forgets_them(as_editor, editor, owner):
    as_editor.post("/account/delete/", {"password": "a guess"})
    assert AccessAttempt.objects.filter(username=editor.email).exists()
    as_editor.post("/account/delete/", SURE)
    assert not AccessAttempt.objects.filter(username=editor.email).exists()


def test_without_the_password_nothing_is_deleted(as_editor, editor, owner):
    response = as_editor.post("/account/delete/", {"password": "a guess"})
    assert response.status_code == 422
    assert "not your password" in text(response)
    assert User.objects.filter(pk=editor.pk).exists()


def test_looking_at_the_page_deletes_nothing(as_editor, editor, owner):
    assert as_editor.get("/account/delete/").status_code == 200
    assert as_editor.delete("/account/delete/").status_code == 405
    assert User.objects.filter(pk=editor.pk).exists()
