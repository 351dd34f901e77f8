"""Create and change a key on the page of the team's keys: limits and expiry."""

from datetime import UTC, datetime, time, timedelta

from django.utils import timezone

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey


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
    assert "It has expired." in as_editor.get(change_of(key)).content.decode()
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
