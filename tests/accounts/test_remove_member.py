"""Removing a member, and leaving a team."""

from finetune_app.accounts import services
from finetune_app.accounts.models import Membership, Role
from tests.accounts.pages import text


def path(user) -> str:
    return f"/team/members/{user.memberships.get().pk}/remove/"


def is_in(user, team) -> bool:
    return Membership.objects.filter(user=user, team=team).exists()


def test_the_owner_removes_a_member_who_then_sees_nothing(as_owner, as_editor, editor, team):
    as_owner.post(path(editor))
    assert not is_in(editor, team)
    assert as_editor.get("/team/")["Location"] == "/teams/new/"


def test_their_invitations_stop_working(as_owner, editor, team):
    _made, secret = services.invite(team=team, role=Role.EDITOR, by=editor)
    as_owner.post(path(editor))
    assert services.invitation_for(secret) is None


def test_the_only_owner_cannot_be_removed_and_cannot_leave(as_owner, owner, editor, team):
    assert as_owner.post(path(owner)).status_code == 409
    response = as_owner.post("/team/leave/")
    assert response.status_code == 409
    assert "needs an owner" in text(response)
    assert is_in(owner, team)


def test_an_editor_and_a_viewer_cannot_remove_members(as_editor, as_viewer, owner, team):
    for browser in (as_editor, as_viewer):
        assert browser.post(path(owner)).status_code == 403
    assert is_in(owner, team)


def test_another_teams_owner_gets_404(as_stranger, viewer, team):
    assert as_stranger.post(path(viewer)).status_code == 404
    assert is_in(viewer, team)


def test_a_viewer_may_leave(as_viewer, viewer, owner, team):
    assert as_viewer.post("/team/leave/")["Location"] == "/account/"
    assert not is_in(viewer, team)


def test_a_user_without_a_team_cannot_leave_one(as_viewer, viewer):
    viewer.memberships.all().delete()
    assert as_viewer.post("/team/leave/").status_code == 404


def test_a_get_request_removes_no_member(as_owner, viewer, team):
    assert as_owner.get(path(viewer)).status_code == 405
    assert as_owner.get("/team/leave/").status_code == 405
    assert is_in(viewer, team)
