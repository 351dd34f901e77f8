"""Signing in, failing to and signing out each leave one line, whichever view does it."""

import pytest
from django.urls import reverse

from finetune_app.core.audit import AuditAction
from tests.audit.lines import new_lines
from tests.conftest import PASSWORD

SIGN_IN = reverse("accounts:sign_in")


def test_a_sign_in_says_who_and_from_where(client, owner):
    with new_lines() as lines:
        client.post(SIGN_IN, {"email": owner.email, "password": PASSWORD}, REMOTE_ADDR="10.1.2.3")
    (line,) = lines
    assert line.action == AuditAction.SIGNED_IN
    assert (line.actor_id, line.address, line.team_id) == (owner.pk, "10.1.2.3", None)
    assert line.was_done


def test_a_failed_sign_in_names_the_account_that_was_tried(client, owner):
    with new_lines() as lines:
        client.post(SIGN_IN, {"email": owner.email.upper(), "password": "not this one"})
    (line,) = lines
    assert line.action == AuditAction.SIGN_IN_FAILED
    assert line.actor_id is None
    assert line.target == f"user {owner.pk}"


def test_nothing_that_was_typed_is_kept_of_an_unknown_account(client, owner):
    with new_lines() as lines:
        client.post(SIGN_IN, {"email": "my-password@here.example", "password": "x"})
    (line,) = lines
    assert line.target == ""


def test_a_locked_out_stranger_adds_no_more_lines(client, owner, settings):
    wrong = {"email": owner.email, "password": "not this one"}
    for _n in range(settings.AXES_FAILURE_LIMIT):
        client.post(SIGN_IN, wrong)
    with new_lines() as lines:
        assert client.post(SIGN_IN, wrong).status_code == 429
    assert lines == []


def test_a_sign_out_says_who(as_owner, owner):
    with new_lines() as lines:
        as_owner.post(reverse("accounts:sign_out"))
    (line,) = lines
    assert (line.action, line.actor_id) == (AuditAction.SIGNED_OUT, owner.pk)


@pytest.mark.django_db
def test_opening_the_sign_in_page_leaves_no_line(client):
    with new_lines() as lines:
        client.get(SIGN_IN)
    assert lines == []
