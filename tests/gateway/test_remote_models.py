"""A deployment whose model answers elsewhere: what a request asks for reaches it, or is refused."""

from dataclasses import replace

import openai
import pytest
from asgiref.sync import async_to_sync

from finetune_app.alerts.rules import SERVER_ERRORS
from finetune_app.candidates import inference
from finetune_app.playground import page_client
from finetune_app.providers.client import target_of
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, ask
from tests.providers.conftest import platform  # noqa: F401
from tests.worker.conftest import wait_for

OPTIONS = ("max_tokens", "temperature", "top_p", "stop", "seed")


@pytest.fixture
def far(platform, live, team, owner, monkeypatch):  # noqa: F811
    """far(model) makes it the model that answers the deployment; returns the platform."""
    request_for = inference.request_for

    def made(model: str = "kind"):
        target = target_of(platform.endpoint(team, owner, model))
        monkeypatch.setattr(
            inference,
            "request_for",
            lambda candidate: replace(request_for(candidate), endpoint=target),
        )
        return platform

    return made


def asked(platform) -> list[dict]:  # noqa: F811
    """The options of each request that the platform got."""
    bodies = [one["body"] for one in platform.requests]
    return [{name: body[name] for name in OPTIONS if name in body} for body in bodies]


def test_the_options_of_a_request_are_passed_on(client, far):
    there = far()
    ask(client, max_tokens=5, temperature=0.3, top_p=0.5, stop="END", seed=3)
    ask(client, max_tokens=None, max_completion_tokens=4000)
    given = {"max_tokens": 5, "temperature": 0.3, "top_p": 0.5, "stop": ["END"], "seed": 3}
    assert asked(there) == [given, {"max_tokens": 4000, "temperature": 0.0}]


def test_a_request_without_options_leaves_them_to_the_platform(client, far):
    there = far()
    ask(client, max_tokens=None)
    assert asked(there) == [{"max_tokens": 1200, "temperature": 0.0}]


def test_several_answers_have_a_seed_each(client, far):
    there = far()
    assert len(ask(client, seed=3, n=2).choices) == 2
    assert sorted(one["seed"] for one in asked(there)) == [3, 4]


def test_what_the_platform_does_not_take_is_refused_by_name(client, far):
    far("no stop")
    with pytest.raises(openai.BadRequestError, match="'stop' is not supported") as refused:
        ask(client, stop="END")
    assert refused.value.param == "stop"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("model", "status", "code"),
    [
        ("fussy", 400, "question_refused"),
        ("wrong key", 502, "model_failed"),
        ("poor", 502, "model_failed"),
        ("unknown", 502, "model_failed"),
        ("web page", 502, "model_failed"),
    ],
)
def test_what_the_platform_refuses_for_good_is_not_asked_again(
    client, far, live, model, status, code, stream
):
    """OpenAI's client asks again after a 503, and also after a 502 unless it is told."""
    there = far(model)
    with pytest.raises(openai.APIStatusError) as refused:
        ask(client.with_options(max_retries=2), stream=stream)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert len(there.requests) == 1
    logged = Request.objects.get()
    assert (logged.status, logged.error, logged.deployment) == (status, code, live)
    assert live.requests.filter(SERVER_ERRORS).exists() == (status == 502)


@pytest.mark.parametrize("model", ["busy", "broken", "stumbles"])
def test_what_may_be_over_soon_may_be_asked_again(client, far, model):
    far(model)
    with pytest.raises(openai.InternalServerError) as refused:
        ask(client)
    assert (refused.value.status_code, refused.value.code) == (503, "model_failed")
    assert "x-should-retry" not in refused.value.response.headers


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": True}, "logprobs"),
        ({"presence_penalty": 1}, "presence_penalty"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
    ],
)
def test_what_no_platform_is_sent_is_refused_by_name(client, far, more, param):
    there = far()
    with pytest.raises(openai.BadRequestError, match="answers elsewhere") as refused:
        ask(client, **more)
    assert refused.value.param == param
    assert there.requests == []


def test_a_page_leaves_a_model_elsewhere_room_to_think(far, live):
    there = far()
    given = {"messages": HELLO, "max_tokens": 5}
    async_to_sync(page_client.complete)(page_client.prepare(live, "page:1", given))
    assert asked(there) == [{"max_tokens": 1200, "temperature": 0.0}]


def test_the_platforms_own_counts_are_logged(client, far):
    far()
    usage = ask(client).usage
    assert (usage.prompt_tokens, usage.completion_tokens) == (40, 4)
    logged = Request.objects.get()
    assert (logged.prompt_tokens, logged.tokens) == (40, 4)


def test_where_the_platform_counts_nothing_an_estimate_is_logged(client, far):
    far("uncounted")
    ask(client)
    logged = Request.objects.get()
    assert (logged.prompt_tokens, logged.tokens) == (3, 3)  # “Hello there”, “It is 5. ”


def test_a_disconnect_does_not_make_it_free(client, key, far):
    there = far("slow")
    stream = ask(client, stream=True)
    pieces = [piece for _n, piece in zip(range(6), stream, strict=False)]
    stream.close()
    assert there.hung_up.wait(5)
    wait_for(lambda: Request.objects.filter(status=499).exists(), seconds=10)
    logged = Request.objects.get()
    assert logged.tokens >= sum(bool(one.choices[0].delta.content) for one in pieces) > 1
    assert logged.prompt_tokens == 3
