"""A line names what was done to what, by ids alone."""

import json

import pytest
from django.db import DatabaseError
from django.forms.models import model_to_dict
from django.urls import reverse

from finetune_app.accounts import services as accounts
from finetune_app.accounts.models import Role, Team, User
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey
from finetune_app.audit import services
from finetune_app.core import logs
from finetune_app.core.audit import AuditAction
from tests.audit.lines import new_lines
from tests.conftest import PASSWORD, signed_in


def test_a_new_key_is_named_by_its_id_and_its_secret_is_not(as_owner, owner, team):
    form = {"name": "Shop", "actions": ["chat"], "days": "", "requests_per_minute": "60"}
    with new_lines() as lines, logs.context(request="request-7", job=None):
        as_owner.post(
            reverse("api_keys:new"), form | {"tokens_per_minute": "100000", "currency": "EUR"}
        )
    key = ApiKey.objects.get()
    (line,) = lines
    assert (line.action, line.target) == (AuditAction.KEY_CREATED, f"apikey {key.pk}")
    assert (line.actor_id, line.team_id) == (owner.pk, team.pk)
    assert line.request_id == "request-7"
    kept = json.dumps(model_to_dict(line), default=str)
    assert key.prefix not in kept
    assert "Shop" not in kept


def test_a_mistake_in_a_form_leaves_a_line_that_says_it_was_not_done(as_owner):
    with new_lines() as lines:
        as_owner.post(reverse("accounts:change_password"), {"old": "wrong", "new": "wrong"})
    (line,) = lines
    assert line.action == AuditAction.PASSWORD_CHANGED
    assert not line.was_done


def test_a_viewer_who_is_refused_leaves_a_line(as_viewer, viewer, goal):
    with new_lines() as lines:
        as_viewer.post(reverse("goals:delete", args=[goal.pk]))
    (line,) = lines
    assert (line.status, line.actor_id, line.goal_id) == (403, viewer.pk, goal.pk)


def test_a_deleted_goal_is_known_by_its_number_alone(as_owner, goal, team):
    with new_lines() as lines:
        as_owner.post(reverse("goals:delete", args=[goal.pk]))
    (line,) = lines
    assert (line.action, line.goal_id, line.team_id) == (
        AuditAction.GOAL_DELETED,
        goal.pk,
        team.pk,
    )


def test_a_deleted_team_is_named(as_owner, team):
    team_id = team.pk
    with new_lines() as lines:
        as_owner.post(reverse("accounts:delete_team"), {"name": team.name})
    (line,) = lines
    assert (line.action, line.team_id) == (AuditAction.TEAM_DELETED, team_id)


def test_who_deletes_their_account_is_named(as_owner, owner):
    owner_id = owner.pk
    with new_lines() as lines:
        as_owner.post(reverse("accounts:delete_account"), {"password": PASSWORD})
    (line,) = lines
    assert (line.action, line.actor_id) == (AuditAction.ACCOUNT_DELETED, owner_id)
    assert not User.objects.filter(pk=owner_id).exists()


def test_a_new_team_is_the_team_of_its_line(as_owner):
    with new_lines() as lines:
        as_owner.post(reverse("accounts:new_team"), {"name": "Second team"})
    (line,) = lines
    assert line.team_id == Team.objects.get(name="Second team").pk


def test_joining_by_invitation_leaves_one_line_and_not_the_link(team, owner, stranger):
    _invitation, secret = accounts.invite(team=team, role=Role.EDITOR, by=owner)
    with new_lines() as lines:
        signed_in(stranger).post(reverse("accounts:join", args=[secret]))
    (line,) = lines
    assert (line.action, line.team_id, line.actor_id) == (
        AuditAction.JOINED,
        team.pk,
        stranger.pk,
    )
    assert secret not in line.target


def test_the_first_account_leaves_one_line(client, db):
    address = accounts.set_up_url()
    client.get(address)
    form = {"email": "mara@kettle.example", "name": "Mara", "password": PASSWORD}
    with new_lines() as lines:
        client.post(reverse("accounts:set_up"), form | {"team_name": "Kettle Lane Cycles"})
    (line,) = lines
    assert (line.action, line.actor_id) == (AuditAction.SET_UP, User.objects.get().pk)


def test_a_program_is_named_by_its_key(client, team, owner):
    key, text = api_keys.create_key(team=team, by=owner, name="Shop", actions=["files"])
    with new_lines() as lines:
        client.delete("/v1/files/file-0", headers={"Authorization": f"Bearer {text}"})
    (line,) = lines
    assert (line.action, line.status) == (AuditAction.FILE_DELETED, 404)
    assert (line.key_id, line.team_id, line.actor_id) == (key.pk, team.pk, None)


def test_a_program_without_a_key_leaves_no_line(client, db):
    with new_lines() as lines:
        client.delete("/v1/files/file-0")
    assert lines == []


def test_what_was_done_is_answered_when_no_line_can_be_written(as_owner, monkeypatch, caplog):
    def fail(*args, **kwargs):
        raise DatabaseError("disk full")

    monkeypatch.setattr(services, "record_request", fail)
    response = as_owner.post(reverse("accounts:rename_team"), {"name": "Kettle"})
    assert response.status_code == 302
    assert AuditAction.TEAM_RENAMED in caplog.text


@pytest.mark.parametrize("action", AuditAction)
def test_every_action_fits_its_column(action):
    assert len(action.value) <= 40
