"""The monthly token budget of a key."""

from datetime import timedelta

from finetune_app.api_keys import services as api_keys
from finetune_app.api_keys.models import ApiKey, this_month
from tests.api_keys.api import ask


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
