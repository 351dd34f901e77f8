"""Owners change roles; the last owner remains one."""

import pytest

from finetune_app.accounts import services
from finetune_app.accounts.models import Membership, Role
from tests.accounts.pages import text


def path(user) -> str:
    return f"/team/members/{user.memberships.get().pk}/role/"


def role(user) -> str:
    return user.memberships.get().role


def test_the_owner_makes_a_viewer_an_editor(as_owner, viewer):
    assert as_owner.post(path(viewer), {"role": "editor"})["Location"] == "/team/"
    assert role(viewer) == Role.EDITOR


def test_the_last_owner_cannot_step_down(as_owner, owner, editor):
    response = as_owner.post(path(owner), {"role": "viewer"})
    assert response.status_code == 409
    assert "needs an owner" in text(response)
    assert role(owner) == Role.OWNER


def test_with_a_second_owner_the_first_may_step_back(as_owner, owner, editor):
    as_owner.post(path(editor), {"role": "owner"})
    as_owner.post(path(owner), {"role": "viewer"})
    assert (role(owner), role(editor)) == (Role.VIEWER, Role.OWNER)


def test_invitations_of_a_former_owner_stop_working(as_owner, owner, editor, team):
    _made, secret = services.invite(team=team, role=Role.OWNER, by=editor)
    Membership.objects.filter(user=editor).update(role=Role.OWNER)
    as_owner.post(path(editor), {"role": "viewer"})
    assert services.invitation_for(secret) is None


def test_members_cannot_promote_themselves(as_editor, as_viewer, editor, viewer):
    for browser, user in ((as_editor, editor), (as_viewer, viewer)):
        assert browser.post(path(user), {"role": "owner"}).status_code == 403
    assert (role(editor), role(viewer)) == (Role.EDITOR, Role.VIEWER)


def test_another_teams_owner_gets_404(as_stranger, viewer):
    assert as_stranger.post(path(viewer), {"role": "owner"}).status_code == 404
    assert role(viewer) == Role.VIEWER


@pytest.mark.parametrize("wrong", ["admin", "", "OWNER"])
def test_a_role_that_does_not_exist_is_refused(as_owner, viewer, wrong):
    assert as_owner.post(path(viewer), {"role": wrong}).status_code == 422
    assert role(viewer) == Role.VIEWER


def test_a_get_request_changes_nothing(as_owner, viewer):
    assert as_owner.get(path(viewer)).status_code == 405
