"""What a key may do, how much, and its new secrets: on every address of the API."""

import json
from datetime import UTC, datetime, time, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ACTIONS, ApiKey, this_month
from tests.test_routes import DECLARED

CHAT = {"model": "sort-shop-emails", "messages": [{"role": "user", "content": "Hello"}]}
ADDRESSES = {
    "gateway:model_list": "/v1/models",
    "gateway:model_detail": "/v1/models/x",
    "gateway:chat_completions": "/v1/chat/completions",
    "fine_tuning_api:file_list": "/v1/files",
    "fine_tuning_api:file_detail": "/v1/files/file-0",
    "fine_tuning_api:file_content": "/v1/files/file-0/content",
    "fine_tuning_api:job_list": "/v1/fine_tuning/jobs",
    "fine_tuning_api:job_detail": "/v1/fine_tuning/jobs/x",
    "fine_tuning_api:job_events": "/v1/fine_tuning/jobs/x/events",
    "fine_tuning_api:job_checkpoints": "/v1/fine_tuning/jobs/x/checkpoints",
    "fine_tuning_api:job_action": "/v1/fine_tuning/jobs/x/pause",
    "gateway:unknown_url": "/v1/assistants",
    "gateway:feedback": "/v1/feedback",
    "gateway:completions": "/v1/completions",
    "gateway:embeddings": "/v1/embeddings",
}
V1 = [route for route in DECLARED if route.name.startswith(("gateway:", "fine_tuning_api:"))]


@pytest.fixture
def made(team, owner):
    return lambda **given: api_keys.create_key(team=team, by=owner, name="a program", **given)


def ask(text: str, address: str = "/v1/chat/completions", method: str = "POST", body=CHAT):
    return Client().generic(
        method,
        address,
        json.dumps(body),
        content_type="application/json",
        headers={"Authorization": f"Bearer {text}"},
    )


# ---- What it may do ----


def test_every_api_address_is_covered():
    assert {route.name for route in V1} <= set(ADDRESSES)
    assert {route.view.action for route in V1} <= {None, *ACTIONS}


@pytest.mark.parametrize("route", [r for r in V1 if r.view.action], ids=str)
def test_a_key_without_the_action_is_refused(route, live, made):
    _key, text = made(actions=[one for one in ACTIONS if one != route.view.action])
    for method in route.policy.methods:
        reply = ask(text, ADDRESSES[route.name], method)
        assert reply.status_code == 403
        error = reply.json()["error"]
        assert (error["code"], error["type"]) == ("key_not_allowed", "permission_error")
        assert live.name not in error["message"]


# What is noted needs a transaction of its own: tests/gateway/ asks and embeds.
QUIET = [route for route in V1 if route.view.action not in ("chat", "embeddings", None)]


@pytest.mark.parametrize("route", QUIET, ids=str)
def test_a_key_with_only_that_action_is_accepted(route, live, made):
    _key, text = made(actions=[route.view.action])
    for method in route.policy.methods:
        assert ask(text, ADDRESSES[route.name], method).status_code in (200, 400, 404)


def test_a_deployment_key_may_ask_but_not_train(live, as_editor, url):
    as_editor.post(
        url("deployment_keys:new"), {"name": "x", "days": "30", "requests_per_minute": "60"}
    )
    assert ApiKey.objects.get().actions == ["chat", "models"]


# ---- How much ----


def test_a_used_up_token_budget_is_insufficient_quota(live, made):
    key, text = made(tokens_per_month=100)
    api_keys.count_month_tokens(key=key, tokens=100)
    reply = ask(text)
    assert reply.status_code == 429
    assert reply["x-should-retry"] == "false"
    error = reply.json()["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert "100 tokens of this month" in error["message"]
    assert ask(text, "/v1/models", "GET").status_code == 200


def test_tokens_are_counted_per_month(made):
    key, _text = made(tokens_per_month=100)
    api_keys.count_month_tokens(key=key, tokens=60)
    api_keys.count_month_tokens(key=key, tokens=60)
    key.refresh_from_db()
    assert (key.used_this_month, key.is_used_up) == (120, True)
    last = this_month() - timedelta(days=1)
    ApiKey.objects.update(month=last.replace(day=1))
    key.refresh_from_db()
    assert (key.used_this_month, key.is_used_up) == (0, False)
    api_keys.count_month_tokens(key=key, tokens=7)
    key.refresh_from_db()
    assert (key.used_this_month, key.month) == (7, this_month())


def test_without_a_budget_a_key_is_never_used_up(made):
    key, _text = made()
    api_keys.count_month_tokens(key=key, tokens=10**9)
    key.refresh_from_db()
    assert not key.is_used_up


# ---- A new secret ----


def test_the_previous_secret_works_for_the_chosen_time(made, as_editor):
    key, old = made()
    page = as_editor.post(f"/team/keys/{key.pk}/rotate/", {"hours": "24"})
    assert page["Cache-Control"] == "no-store"
    new = page.context["text"]
    assert new in page.content.decode()
    assert api_keys.authenticate(old) == api_keys.authenticate(new) == key
    ApiKey.objects.update(previous_until=timezone.now() - timedelta(seconds=1))
    assert api_keys.authenticate(old) is None
    assert api_keys.authenticate(new) == key


def works(*texts: str) -> list[bool]:
    return [bool(api_keys.authenticate(text)) for text in texts]


def test_rotating_twice_ends_the_first_secret(made):
    key, first = made()
    _key, second = api_keys.rotate_key(key=key, hours=1)
    _key, third = api_keys.rotate_key(key=key, hours=1)
    assert works(first, second, third) == [False, True, True]
    _key, fourth = api_keys.rotate_key(key=key, hours=0)
    assert works(second, third, fourth) == [False, False, True]


def test_revoking_ends_both_secrets(made):
    key, old = made()
    _key, new = api_keys.rotate_key(key=key, hours=24)
    api_keys.revoke_key(key=key)
    assert api_keys.authenticate(old) is api_keys.authenticate(new) is None


# ---- The page ----


def test_create_and_change_a_team_key(live, made, as_editor, team):
    given = {
        "name": "reports",
        "deployment": live.pk,
        "days": "30",
        "actions": ["chat"],
        "requests_per_minute": "5",
        "tokens_per_minute": "900",
        "tokens_per_month": "5000",
    }
    shown = as_editor.post("/team/keys/new/", given)
    key = api_keys.authenticate(shown.context["text"])
    assert (key.deployment, key.actions, key.tokens_per_month) == (live, ["chat"], 5000)
    assert shown.context["text"] not in as_editor.get("/team/keys/").content.decode()
    as_editor.post(f"/team/keys/{key.pk}/", given | {"actions": ["models"], "tokens_per_month": ""})
    key.refresh_from_db()
    assert (key.actions, key.tokens_per_month, key.deployment) == (["models"], None, live)


# ---- Until when ----


def limits(**given) -> dict:
    return {
        "actions": ["chat", "models"],
        "requests_per_minute": "60",
        "tokens_per_minute": "1000",
        "tokens_per_month": "",
        "expires_on": "",
        **given,
    }


def test_change_the_expiry(made, as_editor):
    key, text = made(days=30)
    day = timezone.now().date() + timedelta(days=400)
    as_editor.post(change_of(key), limits(expires_on=day.isoformat()))
    key.refresh_from_db()
    assert key.expires_at == datetime.combine(day, time(23, 59, 59), UTC)
    as_editor.post(change_of(key), limits())
    key.refresh_from_db()
    assert key.expires_at is None
    assert api_keys.authenticate(text)


def test_an_unchanged_day_keeps_the_exact_expiry(made, as_editor):
    key, _text = made(days=30)
    before = key.expires_at
    page = as_editor.get(change_of(key)).content.decode()
    assert f'value="{before.date().isoformat()}"' in page
    as_editor.post(change_of(key), limits(expires_on=before.date().isoformat()))
    key.refresh_from_db()
    assert key.expires_at == before


def test_a_past_expiry_is_refused(made, as_editor):
    key, _text = made(days=30)
    for day in ("2020-01-01", "soon"):
        reply = as_editor.post(change_of(key), limits(expires_on=day))
        assert reply.status_code == 422
    key.refresh_from_db()
    assert key.expires_at > timezone.now() + timedelta(days=29)


def test_a_key_that_expires_today_works_until_midnight(made, as_editor):
    key, text = made(days=30)
    as_editor.post(change_of(key), limits(expires_on=timezone.now().date().isoformat()))
    assert api_keys.authenticate(text)
    key.refresh_from_db()
    assert key.expires_at < timezone.now() + timedelta(days=1)


def test_an_expired_key_can_be_extended_and_a_revoked_one_cannot(made, as_editor):
    key, text = made(days=30)
    ApiKey.objects.update(expires_at=timezone.now() - timedelta(days=2))
    assert api_keys.authenticate(text) is None
    assert "It has expired and opens nothing." in as_editor.get(change_of(key)).content.decode()
    assert change_of(key) in as_editor.get("/team/keys/?over=1").content.decode()
    same = (timezone.now() - timedelta(days=2)).date().isoformat()
    as_editor.post(change_of(key), limits(expires_on=same))  # its limits alone
    assert api_keys.authenticate(text) is None
    later = (timezone.now() + timedelta(days=9)).date().isoformat()
    as_editor.post(change_of(key), limits(expires_on=later))
    assert api_keys.authenticate(text)
    api_keys.revoke_key(key=key)
    assert as_editor.post(change_of(key), limits(expires_on="")).status_code == 404
    api_keys.change_key(key=key, expires_at=None)
    assert api_keys.authenticate(text) is None


def change_of(key) -> str:
    return f"/team/keys/{key.pk}/"


def test_the_page_shows_used_up_and_inactive_keys(live, made, as_viewer, as_editor):
    key, _text = made(tokens_per_month=100)
    api_keys.count_month_tokens(key=key, tokens=150)
    assert "Used up" in as_viewer.get("/team/keys/").content.decode()
    assert f"/team/keys/{key.pk}/" not in as_viewer.get("/team/keys/").content.decode()
    as_editor.post(f"/team/keys/{key.pk}/revoke/")
    assert "1 that no longer works" in as_viewer.get("/team/keys/").content.decode()
    assert "revoked" in as_viewer.get("/team/keys/?over=1").content.decode()


def test_invalid_limits_are_refused(made, as_editor):
    key, _text = made()
    reply = as_editor.post(f"/team/keys/{key.pk}/", {"requests_per_minute": "0"})
    assert reply.status_code == 422
    assert "Choose at least one" in reply.content.decode()


def test_another_teams_deployment_cannot_be_chosen(live, as_stranger):
    given = {
        "name": "x",
        "deployment": live.pk,
        "days": "30",
        "actions": ["chat"],
        "requests_per_minute": "5",
        "tokens_per_minute": "900",
    }
    assert as_stranger.post("/team/keys/new/", given).status_code == 422


def test_only_editors_change_keys(live, made, as_viewer, as_stranger):
    key, text = made()
    for address in (f"{key.pk}/", f"{key.pk}/rotate/", f"{key.pk}/revoke/"):
        assert as_viewer.post(f"/team/keys/{address}").status_code == 403
        assert as_stranger.post(f"/team/keys/{address}").status_code == 404
    assert key.prefix not in as_stranger.get("/team/keys/").content.decode()
    assert api_keys.authenticate(text)


# ---- From a shell ----


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
    for wrong in ({"deployment": "none"}, {"rotate": "ft-none"}, {"tokens_per_month": 0}):
        with pytest.raises(CommandError):
            call_command("apikey", **wrong)
