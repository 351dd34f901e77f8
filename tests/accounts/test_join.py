"""Joining by invitation, with an existing or a new account, once."""

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from finetune_app.accounts import services
from finetune_app.accounts.models import Invitation, Membership, Role, User
from finetune_app.core.errors import PlainError
from tests.accounts.pages import LONG_PASSWORD, is_signed_in, text

NEW = {"email": "nils@kettle.example", "name": "Nils", "password": LONG_PASSWORD}


@pytest.fixture
def path(team, owner) -> str:
    _made, secret = services.invite(team=team, role=Role.VIEWER, by=owner)
    return f"/join/{secret}/"


def roles(team) -> dict[str, str]:
    return dict(team.memberships.values_list("user__email", "role"))


def test_a_new_user_creates_an_account_and_joins(client, path, team):
    page = text(client.get(path))
    assert "Join Kettle Lane Cycles" in page
    assert "Mara invites you" in page
    assert client.post(path, NEW)["Location"] == "/"
    assert roles(team)["nils@kettle.example"] == Role.VIEWER
    assert is_signed_in(client)


def test_a_member_of_another_team_joins_with_a_click(as_stranger, path, team):
    assert "Join as Eve" in text(as_stranger.get(path))
    as_stranger.post(path)
    assert roles(team)["eve@other.example"] == Role.VIEWER
    assert "Kettle Lane Cycles" in text(as_stranger.get("/team/"))


def test_opening_the_link_does_not_use_it_up(client, as_stranger, path):
    for browser in (client, as_stranger):
        assert browser.get(path).status_code == 200
    assert Invitation.objects.usable().count() == 1


def test_it_works_once(client, path):
    client.post(path, NEW)
    second = Client()
    assert second.get(path).status_code == 404
    assert "no longer works" in text(second.get(path))
    assert second.post(path, NEW | {"email": "eve@other.example"}).status_code == 404
    assert not User.objects.filter(email="eve@other.example").exists()


def test_of_two_simultaneous_joins_one_succeeds_and_no_account_is_left_over(team, owner):
    invitation, _secret = services.invite(team=team, role=Role.VIEWER, by=owner)
    services.join_as_new(invitation=invitation, **NEW)
    with pytest.raises(PlainError, match="a moment ago"):
        services.join_as_new(invitation=invitation, **NEW | {"email": "eve@other.example"})
    assert not User.objects.filter(email="eve@other.example").exists()


def test_after_seven_days_it_has_expired(client, path):
    Invitation.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    assert client.get(path).status_code == 404
    assert client.post(path, NEW).status_code == 404


def test_an_invalid_link_shows_the_same_page(client, db):
    response = client.get("/join/made-up/")
    assert response.status_code == 404
    assert "no longer works" in text(response)


def test_a_member_does_not_use_it_up_and_keeps_the_role(as_owner, owner, path, team):
    assert "already" in text(as_owner.get(path))
    as_owner.post(path)
    assert roles(team) == {owner.email: Role.OWNER}
    assert Invitation.objects.usable().count() == 1


def test_an_address_that_has_an_account_is_told_to_sign_in(client, path, stranger):
    response = client.post(path, NEW | {"email": stranger.email})
    assert response.status_code == 422
    assert "with this address already" in text(response)
    assert f"/sign-in/?next={path}" in text(response)
    assert not Membership.objects.filter(user=stranger, role=Role.VIEWER).exists()


def test_a_weak_password_is_refused(client, path):
    assert client.post(path, NEW | {"password": "short"}).status_code == 422
    assert not User.objects.filter(email=NEW["email"]).exists()


def test_other_methods_are_refused(client, path):
    assert client.put(path).status_code == 405
