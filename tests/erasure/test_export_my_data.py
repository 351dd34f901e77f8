"""A person takes a copy of what is kept about them; the password is asked first."""

import io
import json
import zipfile

from asgiref.sync import async_to_sync
from django.test import AsyncClient
from django.urls import reverse

from finetune_app.core.audit import AuditAction
from finetune_app.datasets.models import Label
from finetune_app.operations import personal_data, views
from tests.audit.lines import new_lines
from tests.conftest import PASSWORD, signed_in
from tests.factories import build_world

PAGE = reverse("own_data:export")


def confirm(client) -> None:
    client.post(reverse("account_reauthenticate"), {"password": PASSWORD, "next": PAGE})


def copy_of(client) -> dict[str, list[dict]]:
    """The files of the copy, read."""
    confirm(client)
    response = client.post(PAGE)
    assert response.status_code == 200
    assert "my-data.zip" in response["Content-Disposition"]
    with zipfile.ZipFile(io.BytesIO(b"".join(response.streaming_content))) as copy:
        return {
            name: json.loads(copy.read(name)) for name in copy.namelist() if name.endswith(".json")
        }


def test_the_account_page_leads_there(as_owner):
    assert PAGE in as_owner.get(reverse("accounts:account")).content.decode()


def test_the_copy_is_read_as_it_is_sent(owner, monkeypatch):
    """Under ASGI Django reads the whole of a plain iterator into memory first."""
    monkeypatch.setattr(views, "require_confirmation", lambda request: None)
    client = AsyncClient()
    client.cookies = signed_in(owner).cookies
    reply = async_to_sync(client.post)(PAGE)
    assert reply.status_code == 200
    assert reply.is_async


def test_it_holds_the_account_and_what_is_theirs(as_owner, owner, team, goal):
    world = build_world(team, owner)
    Label.objects.create(example=world.example, by=owner, answer="repair_status")
    copy = copy_of(as_owner)
    (account,) = copy["account.json"]
    assert (account["email"], account["name"]) == (owner.email, owner.name)
    (membership,) = copy["theirs/accounts.Membership.user.json"]
    assert (membership["team_id"], membership["role"]) == (team.pk, "owner")
    answers = copy["theirs/datasets.Label.by.json"]
    assert "repair_status" in [answer["answer"] for answer in answers]
    assert copy["theirs/usersessions.UserSession.user.json"]


def test_what_they_made_comes_without_the_teams_content(as_owner, owner, goal):
    copy = copy_of(as_owner)
    (made,) = copy["made/goals.Goal.created_by.json"]
    assert made["id"] == goal.pk
    assert set(made) == {"id", "created_at", "changed_at"}


def test_every_table_that_refers_to_a_person_is_in_it(as_owner):
    names = {f"{model._meta.label}.{field}" for model, field, _theirs in personal_data.tables()}
    assert len(names) > 20
    parts = {name.split("/")[1].removesuffix(".json") for name in copy_of(as_owner) if "/" in name}
    assert parts == names


def test_it_holds_no_secret_and_nobody_else(as_owner, owner, editor, team):
    build_world(team, owner)
    text = json.dumps(copy_of(as_owner))
    assert owner.password not in text
    assert as_owner.cookies["sessionid"].value not in text
    assert editor.email not in text


def test_it_holds_their_lines_of_the_audit_log_alone(as_owner, as_editor, owner):
    as_owner.post(reverse("accounts:rename_team"), {"name": "Kettle"})
    as_editor.post(reverse("accounts:rename_team"), {"name": "Mine"})
    lines = copy_of(as_owner)["audit.json"]
    assert {line["actor_id"] for line in lines} == {owner.pk}
    assert AuditAction.TEAM_RENAMED in [line["action"] for line in lines]


def test_the_password_is_asked_before_the_page_is_shown(as_owner):
    asked = as_owner.get(PAGE)
    assert asked.status_code == 302
    assert asked["Location"].startswith(reverse("account_reauthenticate"))
    confirm(as_owner)
    assert as_owner.get(PAGE).status_code == 200


def test_without_it_there_is_no_copy_and_the_line_says_so(as_owner):
    with new_lines() as lines:
        response = as_owner.post(PAGE)
    assert response.status_code == 409
    assert "Content-Disposition" not in response
    (line,) = lines
    assert not line.was_done


def test_a_confirmation_is_over_after_a_while(as_owner, settings):
    confirm(as_owner)
    settings.ACCOUNT_REAUTHENTICATION_TIMEOUT = 0
    assert as_owner.post(PAGE).status_code == 409


def test_a_copy_leaves_a_line_in_the_audit_log(as_owner, owner):
    confirm(as_owner)
    with new_lines() as lines:
        as_owner.post(PAGE)
    (line,) = lines
    assert (line.action, line.actor_id) == (AuditAction.OWN_DATA_EXPORTED, owner.pk)
    assert line.was_done
