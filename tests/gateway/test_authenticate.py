"""Authentication: only a key opens the API."""

import httpx
import openai
import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.gateway import model_lookup
from finetune_app.request_log.models import Request
from tests.conftest import signed_in

MODEL = "sort-shop-emails"
HELLO = [{"role": "user", "content": "Hello"}]


def ask(client, model: str = MODEL):
    return client.chat.completions.create(model=model, messages=HELLO, max_tokens=2)


def with_key(address: str, text: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=address, api_key=text, max_retries=0)


def test_list_models_starts_with_the_starter_model(client):
    assert [model.id for model in client.models.list()] == ["starter", "all-minilm-l6-v2", MODEL]
    assert client.models.retrieve(MODEL).object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-4o")


def test_a_key_for_one_deployment_lists_only_that(address, live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    client = with_key(address, text)
    assert [model.id for model in client.models.list()] == [MODEL]
    assert ask(client)
    with pytest.raises(openai.NotFoundError):
        ask(client, "starter")


def test_another_teams_key_cannot_ask_the_deployment(address, live, stranger):
    _key, text = api_keys.create_key(team=stranger.teams.get(), by=stranger, name="x")
    client = with_key(address, text)
    with pytest.raises(openai.NotFoundError):
        ask(client)
    assert MODEL not in [model.id for model in client.models.list()]


@pytest.mark.parametrize("text", ["ft-00000000-made-up", "sk-something", "x"])
def test_an_unknown_key_is_refused(address, live, text):
    with pytest.raises(openai.AuthenticationError) as refused:
        ask(with_key(address, text))
    assert refused.value.code == "invalid_api_key"


def test_a_revoked_key_is_refused(client, key):
    assert ask(client)
    api_keys.revoke_key(key=key[0])
    with pytest.raises(openai.AuthenticationError):
        ask(client)


def test_a_request_without_a_key_says_where_to_get_one(address, live):
    reply = httpx.get(f"{address}/models")
    assert reply.status_code == 401
    assert reply.headers["WWW-Authenticate"] == "Bearer"
    assert "deployment page" in reply.json()["error"]["message"]


def test_a_browser_session_does_not_open_the_api(live, owner):
    reply = signed_in(owner).get("/v1/models")
    assert reply.status_code == 401


def test_a_key_does_not_open_the_pages(live, key, client_without_session):
    page = f"/goals/{live.goal_id}/deployment/"
    reply = client_without_session.get(page, headers={"Authorization": f"Bearer {key[1]}"})
    assert reply.status_code == 302


@pytest.fixture
def client_without_session():
    from django.test import Client

    return Client()


def test_too_many_requests_get_a_429_with_retry_after(address, live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x", requests_per_minute=2)
    client = with_key(address, text)
    ask(client)
    ask(client)
    with pytest.raises(openai.RateLimitError) as refused:
        ask(client)
    assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
    assert "2 requests a minute" in refused.value.body["message"]


def test_too_many_tokens_get_a_429(address, live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x", tokens_per_minute=5)
    client = with_key(address, text)
    ask(client)  # it reads more than five
    with pytest.raises(openai.RateLimitError, match="5 tokens a minute"):
        ask(client)


def test_a_forged_forwarded_header_does_not_reset_the_limit(address, live, team, owner):
    _key, text = api_keys.create_key(team=team, by=owner, name="x", requests_per_minute=1)
    headers = {"Authorization": f"Bearer {text}"}
    codes = [
        httpx.get(f"{address}/models", headers=headers | {"X-Forwarded-For": f"10.0.0.{n}"})
        for n in range(3)
    ]
    assert [reply.status_code for reply in codes] == [200, 429, 429]


def test_an_unknown_url_gets_a_json_error(client):
    with pytest.raises(openai.NotFoundError) as refused:
        client.moderations.create(input="Hello")
    assert refused.value.code == "unknown_url"


def test_a_wrong_method_names_the_allowed_ones(address, live, key):
    headers = {"Authorization": f"Bearer {key[1]}"}
    reply = httpx.get(f"{address}/chat/completions", headers=headers)
    assert reply.status_code == 405
    assert "POST" in reply.json()["error"]["message"]


# ---- What a request costs ----


def test_its_key_and_its_model_are_found_in_three_reads(key, django_assert_num_queries):
    """And what is found is as if Django had asked: with every field, in its own type."""
    row, text = key
    api_keys.authenticate(text)  # that it was used is written once a minute
    with django_assert_num_queries(3):
        found = api_keys.authenticate(text)
        assert found == row
        model_lookup.resolve(found, "starter")
    assert (found.actions, found.expires_at) == (row.actions, row.expires_at)


def test_an_unknown_model_leaves_one_line(client):
    with pytest.raises(openai.NotFoundError):
        ask(client, "nothing")
    line = Request.objects.get()
    assert (line.model, line.status, line.error) == ("nothing", 404, "model_not_found")
