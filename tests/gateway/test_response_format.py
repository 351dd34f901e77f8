"""response_format: answers that match a JSON schema."""

import json
from dataclasses import replace
from typing import Literal

import httpx
import jsonschema
import openai
import pytest
from pydantic import BaseModel

from finetune_app.candidates import inference
from finetune_app.providers.client import Target
from tests.gateway.chat_requests import HELLO, MODEL, ask

SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["refund", "repair"]}, "urgent": {"type": "boolean"}},
    "required": ["label", "urgent"],
    "additionalProperties": False,
}


def schema_format(schema: object = SCHEMA, **more) -> dict:
    json_schema = {"name": "reply", "schema": schema} | more
    return {
        "response_format": {"type": "json_schema", "json_schema": json_schema},
        "max_tokens": 200,
    }


@pytest.mark.parametrize("strict", [True, False])
def test_the_answer_matches_the_schema(client, strict):
    reply = ask(client, **schema_format(strict=strict), temperature=1.5)
    assert reply.choices[0].finish_reason == "stop"
    jsonschema.validate(json.loads(reply.choices[0].message.content), SCHEMA)


def test_openais_client_parses_the_answer_into_a_class(client):
    class Item(BaseModel):
        urgent: bool
        size: Literal["s", "m"] | None

    reply = client.chat.completions.parse(
        model=MODEL, messages=HELLO, response_format=Item, max_tokens=400, temperature=1.0
    )
    assert isinstance(reply.choices[0].message.parsed, Item)


def test_streams_and_several_choices_match_the_schema(client):
    texts = dict.fromkeys(range(3), "")
    for chunk in ask(client, **schema_format(), n=3, temperature=1.5, stream=True):
        texts[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    for text in texts.values():
        jsonschema.validate(json.loads(text), SCHEMA)


def test_json_object_starts_with_a_brace(client):
    reply = ask(client, response_format={"type": "json_object"}, temperature=1.0)
    assert reply.choices[0].message.content.lstrip().startswith("{")


def test_text_format_changes_nothing(client):
    plain = ask(client).choices[0].message.content
    assert ask(client, response_format={"type": "text"}).choices[0].message.content == plain


def test_logprobs_are_those_of_the_unconstrained_model(client):
    choice = ask(client, **schema_format(), logprobs=True).choices[0]
    assert "".join(entry.token for entry in choice.logprobs.content) == choice.message.content


@pytest.mark.parametrize(
    "response_format",
    [
        {"type": "xml"},
        {"type": "json_schema"},
        {"type": "json_schema", "json_schema": {"name": "x"}},
        {"type": "json_schema", "json_schema": {"name": "x", "schema": "text"}},
        "json",
        *[
            schema_format(schema)["response_format"]
            for schema in (
                {"type": "nonsense"},
                {"type": "array", "items": {}, "uniqueItems": True},
                {"$ref": "https://example.com/schema.json"},
                {"enum": ["x" * 70_000]},
            )
        ],
    ],
)
def test_unsupported_schemas_are_refused(address, key, live, response_format):
    body = {"model": MODEL, "messages": HELLO, "response_format": response_format, "stream": True}
    headers = {"Authorization": f"Bearer {key[1]}"}
    reply = httpx.post(f"{address}/chat/completions", json=body, headers=headers, timeout=280)
    assert reply.status_code == 400
    assert reply.json()["error"]["param"] == "response_format"
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_a_remote_model_refuses_response_format(client, live, monkeypatch):
    request_for = inference.request_for

    def remote(candidate):
        return replace(request_for(candidate), endpoint=Target("http://127.0.0.1:9", "far"))

    monkeypatch.setattr("finetune_app.gateway.model_lookup.inference.request_for", remote)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **schema_format())
    assert refused.value.param == "response_format"
    assert "elsewhere" in refused.value.body["message"]
