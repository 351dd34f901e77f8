"""POST /v1/embeddings."""

import base64
from array import array

import httpx
import openai
import pytest

from finetune_app.api_keys import services as api_keys
from finetune_app.core import engine_client
from finetune_app.request_log.models import Request
from tests.worker.conftest import wait_for
from worker.knowledge import embedding

MODEL = "all-minilm-l6-v2"
TEXTS = ["My bicycle is broken.", "The bike needs a repair.", "Tomatoes grow in the sun."]


def embed(client, texts=TEXTS, **more):
    return client.embeddings.create(**{"model": MODEL, "input": texts} | more)


def similarity(one, other) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_similar_texts_have_similar_vectors(client):
    reply = embed(client)
    first, second, third = (row.embedding for row in reply.data)
    assert [row.index for row in reply.data] == [0, 1, 2]
    assert similarity(first, first) == pytest.approx(1, abs=1e-4)
    assert similarity(first, second) > similarity(first, third) + 0.2
    assert reply.usage.prompt_tokens == reply.usage.total_tokens > 10


def test_vectors_equal_those_of_document_search(client):
    expected = embedding.Embedder().embed_passages(TEXTS[:1])[0]
    assert embed(client, TEXTS[0]).data[0].embedding == pytest.approx(expected.tolist(), abs=1e-4)


def test_float_and_base64_hold_the_same_vector(address, key, live):
    headers = {"Authorization": f"Bearer {key[1]}"}

    def ask(form: str | None):
        body = {"model": MODEL, "input": "Hello"} | ({"encoding_format": form} if form else {})
        reply = httpx.post(f"{address}/embeddings", json=body, headers=headers, timeout=280)
        return reply.json()["data"][0]["embedding"]

    packed = array("f", base64.b64decode(ask("base64")))
    assert list(packed) == pytest.approx(ask("float"), abs=1e-6)
    assert ask(None) == ask("float")


def test_a_key_for_one_deployment_cannot_embed(client, address, live, team, owner):
    assert client.models.retrieve(MODEL).object == "model"
    _key, text = api_keys.create_key(team=team, by=owner, name="x", deployment=live)
    narrow = openai.OpenAI(base_url=address, api_key=text, max_retries=0)
    with pytest.raises(openai.NotFoundError):
        embed(narrow)
    assert MODEL not in [model.id for model in narrow.models.list()]


def test_a_chat_model_cannot_embed(client, live):
    with pytest.raises(openai.NotFoundError, match=MODEL):
        embed(client, model=live.name)


def test_the_embedder_cannot_chat(client, live):
    with pytest.raises(openai.NotFoundError, match="makes embeddings and writes no answers"):
        client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hi"}])


@pytest.mark.parametrize(
    ("texts", "more", "param"),
    [
        ([1, 2, 3], {}, "input"),
        ([[1, 2]], {}, "input"),
        ("", {}, "input"),
        ([], {}, "input"),
        (["a", " "], {}, "input"),
        (["a"] * 257, {}, "input"),
        ("x" * 20_001, {}, "input"),
        (["short", "word " * 400], {}, "input"),
        ("a", {"dimensions": 64}, "dimensions"),
        ("a", {"encoding_format": "int8"}, "encoding_format"),
        ("a", {"model": ""}, "model"),
    ],
)
def test_unsupported_parameters_are_refused_by_name(client, texts, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        embed(client, texts, **more)
    assert refused.value.param == param


def test_a_too_long_text_is_refused(client):
    with pytest.raises(openai.BadRequestError, match="Text 2 has 402 tokens"):
        embed(client, ["short", "word " * 400])


def test_tokens_are_logged_without_the_text(client, key):
    embed(client)
    with pytest.raises(openai.BadRequestError):
        embed(client, dimensions=3)
    wait_for(lambda: Request.objects.count() == 2, seconds=10)
    first, second = Request.objects.order_by("pk")
    assert (first.status, first.model, first.tokens) == (200, MODEL, 0)
    assert first.prompt_tokens > 10
    assert second.status == 400
    assert "bicycle" not in str(vars(first))


def test_an_unavailable_engine_gets_a_503(client, settings):
    settings.ENGINE_SOCKET = "/nowhere/engine.sock"
    with pytest.raises(openai.InternalServerError) as refused:
        embed(client)
    assert refused.value.status_code == 503


def test_a_full_queue_is_answered_with_429(client, key, monkeypatch):
    """Keys take turns, so the engine learns whose request it is."""
    callers = []

    async def is_busy(_texts, *, caller, **_more):
        callers.append(caller)
        raise engine_client.EngineUnavailable("busy", retry_after=5)

    monkeypatch.setattr(engine_client, "embed", is_busy)
    with pytest.raises(openai.RateLimitError) as raised:
        embed(client.with_options(max_retries=0))
    assert raised.value.response.headers["Retry-After"] == "5"
    assert raised.value.code == "engine_busy"
    assert callers == [f"key {key[0].pk}"]
