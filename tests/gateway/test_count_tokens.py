"""POST /v1/responses/input_tokens: how much a request would be to read."""

from dataclasses import replace

import openai
import pytest

from finetune_app.candidates import inference
from finetune_app.candidates import services as candidates
from finetune_app.core import engine_client
from finetune_app.deployment import services
from finetune_app.providers.client import Target
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import MODEL
from tests.gateway.response_requests import WEATHER, respond, user


def count(client, asked="Hello there", **more) -> int:
    given = {"model": MODEL, "input": asked} | more
    return client.responses.input_tokens.count(**given).input_tokens


@pytest.mark.parametrize(
    "more",
    [{}, {"instructions": "You sell bikes."}, {"asked": [user("Hello"), user("Bye")]}],
    ids=["text", "instructions", "items"],
)
def test_it_is_what_the_engine_then_reads(client, more):
    """The real engine, with a tiny model."""
    assert count(client, **more) == respond(client, **more).usage.input_tokens


def test_nothing_is_answered_or_logged(client, monkeypatch):
    def stream(*_given, **_settings):
        raise AssertionError("nobody asked for an answer")

    monkeypatch.setattr(engine_client, "stream_chat", stream)
    assert count(client) > 0
    assert not Request.objects.exists()


def test_own_instructions_of_the_deployment_are_read_too(client, goal, live, owner):
    before = count(client)
    candidate = candidates.prompt_candidate(
        goal=goal,
        base_model=live.current.candidate.base_model,
        instructions="Sort this e-mail.",
        shots=[],
    )
    services.go_live(goal=goal, candidate=candidate, by=owner)
    assert count(client) > before


def test_what_cannot_be_read_is_refused_as_in_a_response(client):
    with pytest.raises(openai.BadRequestError, match="has no tools") as refused:
        count(client, tools=[WEATHER])
    assert refused.value.param == "tools"
    with pytest.raises(openai.BadRequestError) as refused:
        count(client, personality="friendly")
    assert refused.value.code == "unsupported_parameter"
    with pytest.raises(openai.NotFoundError):
        count(client, model="gpt-4o")


def test_a_model_elsewhere_counts_for_itself(client, live, monkeypatch):
    request_for = inference.request_for

    def far_away(candidate):
        return replace(request_for(candidate), endpoint=Target("http://127.0.0.1:9", "far"))

    monkeypatch.setattr(inference, "request_for", far_away)
    with pytest.raises(openai.BadRequestError, match="answers elsewhere") as refused:
        count(client)
    assert refused.value.param == "model"
