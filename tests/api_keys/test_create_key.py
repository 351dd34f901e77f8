"""Create keys; revoked, expired and unknown keys are refused."""

import re
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from finetune_app.accounts.models import Team
from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey

GIVEN = {"name": "the mailbox", "days": "30", "requests_per_minute": "60"}


def test_a_new_key_is_shown_only_once(live, as_editor, url):
    reply = as_editor.post(url("deployment_keys:new"), GIVEN)
    assert reply["Cache-Control"] == "no-store"
    text = re.search(r"ft-[0-9a-f]{8}-[\w-]{40,}", reply.content.decode())[0]
    assert api_keys.authenticate(text).name == "the mailbox"
    page = as_editor.get(url("page")).content.decode()
    assert text not in page
    assert f"{text[:11]} ···· ···· {text[-4:]}" in page


def test_the_database_does_not_hold_the_key(live, team, owner):
    key, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    row = " ".join(str(value) for value in ApiKey.objects.filter(pk=key.pk).values_list()[0])
    assert text.split("-", 2)[2] not in row


def test_an_empty_form_is_refused(live, as_editor, url):
    reply = as_editor.post(url("deployment_keys:new"), {"name": "", "requests_per_minute": "0"})
    assert reply.status_code == 422
    assert "The key was not made" in reply.content.decode()
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("text", ["", "ft-", "ft-1234", "sk-abc", "ft-00000000-abc", "ft--", "é"])
def test_malformed_keys_are_refused(live, text):
    assert api_keys.authenticate(text) is None


def test_a_key_with_one_changed_letter_is_refused(live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x")
    assert api_keys.authenticate(text)
    assert api_keys.authenticate(text[:-1] + ("a" if text[-1] != "a" else "b")) is None


def test_revoked_and_expired_keys_are_refused(live, team, owner, as_editor, url):
    key, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    as_editor.post(url("deployment_keys:revoke", key_id=key.pk))
    assert api_keys.authenticate(text) is None
    old, other = api_keys.create_key(team=team, by=owner, name="y", days=1)
    ApiKey.objects.filter(pk=old.pk).update(expires_at=timezone.now() - timedelta(seconds=1))
    assert api_keys.authenticate(other) is None


def test_only_editors_create_and_revoke(live, team, owner, as_viewer, as_stranger, url):
    key, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    assert as_viewer.post(url("deployment_keys:new"), GIVEN).status_code == 403
    assert as_viewer.post(url("deployment_keys:revoke", key_id=key.pk)).status_code == 403
    assert as_stranger.post(url("deployment_keys:revoke", key_id=key.pk)).status_code == 404
    assert api_keys.authenticate(text)


def test_create_a_key_from_a_shell(team, capsys):
    call_command("apikey", name="a script", days=3)
    found = api_keys.authenticate(capsys.readouterr().out.strip())
    assert (found.team, found.deployment, found.name) == (team, None, "a script")
    Team.objects.create(name="Second")
    with pytest.raises(CommandError, match="name one with --team"):
        call_command("apikey")
    with pytest.raises(CommandError, match="No team has that name"):
        call_command("apikey", team="Third")


def test_the_command_sets_limits_and_rotates(live, team, capsys):
    call_command(
        "apikey", deployment=live.name, may=["chat"], tokens_per_month=50, requests_per_minute=7
    )
    old = capsys.readouterr().out.strip()
    key = api_keys.authenticate(old)
    assert (key.deployment, key.actions) == (live, ["chat"])
    assert (key.tokens_per_month, key.requests_per_minute) == (50, 7)
    call_command("apikey", rotate=f"ft-{key.prefix}", old_works_for=0)
    assert api_keys.authenticate(capsys.readouterr().out.strip()) == key
    assert api_keys.authenticate(old) is None
    Team.objects.create(name="Second")
    call_command("apikey", rotate=f"ft-{key.prefix}")  # the team need not be named
    assert api_keys.authenticate(capsys.readouterr().out.strip()) == key
    with pytest.raises(CommandError, match="no such key"):
        call_command("apikey", rotate=f"ft-{key.prefix}", team="Second")
    for wrong in ({"deployment": "none"}, {"rotate": "ft-none"}, {"tokens_per_month": 0}):
        with pytest.raises(CommandError):
            call_command("apikey", **wrong)
