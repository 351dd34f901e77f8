"""Invitation links: shown once, stored as a hash, can be withdrawn."""

import re
from datetime import timedelta

import pytest
from django.utils import timezone

from finetune_app.accounts import services
from finetune_app.accounts.models import Invitation, Role
from tests.accounts.pages import text


def link_in(response) -> str:
    return re.search(r'id="link"\s+readonly\s+value="([^"]+)"', text(response))[1]


def test_the_owner_gets_a_link_for_seven_days(as_owner, settings):
    response = as_owner.post("/team/invite/", {"role": "viewer"})
    link = link_in(response)
    assert link.startswith(settings.PUBLIC_URL + "/join/")

    invitation = Invitation.objects.get()
    assert invitation.role == Role.VIEWER
    left = invitation.expires_at - timezone.now()
    assert timedelta(days=6, hours=23) < left <= timedelta(days=7)


def test_it_is_shown_once_and_kept_as_a_hash(as_owner):
    secret = link_in(as_owner.post("/team/invite/", {"role": "editor"})).split("/")[-2]
    assert secret not in text(as_owner.get("/team/"))
    assert secret not in str(vars(Invitation.objects.get()))


def test_htmx_gets_the_part_of_the_page_alone(as_owner):
    htmx = {"HX-Request": "true"}
    response = as_owner.post("/team/invite/", {"role": "editor"}, headers=htmx)
    assert link_in(response)
    assert "<html" not in text(response)


def test_an_editor_and_a_viewer_may_not(as_editor, as_viewer):
    for browser in (as_editor, as_viewer):
        assert browser.post("/team/invite/", {"role": "owner"}).status_code == 403
    assert not Invitation.objects.exists()


def test_a_role_that_does_not_exist_is_refused(as_owner):
    assert as_owner.post("/team/invite/", {"role": "admin"}).status_code == 422
    assert not Invitation.objects.exists()


def test_a_get_request_creates_no_invitation(as_owner):
    assert as_owner.get("/team/invite/").status_code == 405


@pytest.fixture
def invitation(team, owner):
    made, secret = services.invite(team=team, role=Role.EDITOR, by=owner)
    made.secret = secret
    return made


def test_the_owner_withdraws_it(as_owner, client, invitation):
    assert as_owner.post(f"/team/invitations/{invitation.pk}/withdraw/").status_code == 302
    assert client.get(f"/join/{invitation.secret}/").status_code == 404


def test_others_cannot_withdraw_it(as_editor, as_stranger, invitation):
    path = f"/team/invitations/{invitation.pk}/withdraw/"
    assert as_editor.post(path).status_code == 403
    assert as_stranger.post(path).status_code == 404
    assert services.invitation_for(invitation.secret)
