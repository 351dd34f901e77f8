"""Requests to a remote model: body, answer, and a message for each error."""

import asyncio
import json
import logging
import traceback
from contextlib import aclosing

import pytest

from finetune_app.providers import client
from finetune_app.providers.client import RemoteError, Target, answer, stream, target_of
from tests.fake_provider import KEY

ASK = [{"role": "user", "content": "What is 2 + 3?"}]


def heard(target, **options) -> list[dict]:
    async def go() -> list[dict]:
        return [event async for event in stream(target, ASK, max_tokens=50, **options)]

    return asyncio.run(go())


def test_text_is_streamed(platform, endpoint):
    events = heard(endpoint)
    assert [event["text"] for event in events[:-1]] == ["It ", "is ", "5. "]
    assert events[-1]["done"]
    assert (events[-1]["prompt_tokens"], events[-1]["tokens"]) == (40, 4)
    assert events[-1]["finish_reason"] == "stop"


def test_characters_that_cannot_be_stored_are_shown_as_a_symbol(platform, team, owner):
    platform.reply_to = lambda messages: "half\ud83d nul\0"
    for model in ("kind", "whole"):
        said = answer(target_of(platform.endpoint(team, owner, model)), ASK, max_tokens=50)
        assert said.text.split() == ["half�", "nul␀"]


def test_the_request_contains_only_the_question(platform, endpoint):
    heard(endpoint, options={"temperature": 0.3, "top_p": 0.5})
    (request,) = platform.requests
    assert request["path"] == "/v1/chat/completions"
    assert request["headers"]["Authorization"] == f"Bearer {KEY}"
    assert request["headers"]["Host"] == platform.place
    assert request["body"] == {
        "model": "kind",
        "messages": ASK,
        "max_tokens": 50,
        "temperature": 0.3,
        "top_p": 0.5,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_options_are_passed_on_and_go_before_the_defaults(platform, endpoint):
    options = {"max_tokens": 5, "top_p": 0.5, "stop": ["END"], "seed": 3}
    heard(endpoint, options=options)
    (request,) = platform.requests
    assert request["body"].items() >= (options | {"temperature": 0.0}).items()


def test_an_option_that_the_model_does_not_take_is_named(platform, team, owner):
    with pytest.raises(RemoteError, match="did not accept the question") as told:
        heard(platform.endpoint(team, owner, "no stop"), options={"seed": 3, "stop": ["END"]})
    assert told.value.param == "stop"
    assert len(platform.requests) == 1, "it is not asked again without the option"


def test_each_piece_has_the_tokens_so_far(platform, endpoint):
    """About one for four characters, until the platform says how many it counted."""
    *pieces, end = heard(endpoint)
    assert [one["tokens"] for one in pieces] == [1, 2, 3]
    assert {one["prompt_tokens"] for one in pieces} == {-(-len(ASK[0]["content"]) // 4)}
    assert (end["prompt_tokens"], end["tokens"]) == (40, 4)


def test_a_remote_model_gets_no_weights_and_no_thoughts(platform, endpoint):
    given = {"role": "assistant", "content": "6", "weight": 0, "reasoning_content": "Hm."}
    earlier = [*ASK, given, *ASK]
    answer(target_of(endpoint), earlier, max_tokens=50)
    (request,) = platform.requests
    assert request["body"]["messages"] == [*ASK, {"role": "assistant", "content": "6"}, *ASK]


def test_a_worker_gets_one_whole_answer(platform, endpoint):
    given = Target.from_json(json.loads(json.dumps(target_of(endpoint).to_json())))
    got = answer(given, ASK, max_tokens=50)
    assert (got.text, got.tokens_in, got.tokens_out) == ("It is 5. ", 40, 4)
    assert got.seconds >= 0


def test_a_server_that_does_not_stream_is_supported(platform, team, owner):
    got = answer(target_of(platform.endpoint(team, owner, "whole")), ASK, max_tokens=50)
    assert (got.text, got.finish_reason, got.tokens_out) == ("It is 5.", "stop", 4)


def test_rejected_parameters_are_left_out_or_renamed(platform, team, owner):
    assert answer(target_of(platform.endpoint(team, owner, "picky")), ASK, max_tokens=50).text
    last = platform.requests[-1]["body"]
    assert set(last) == {"model", "messages", "stream", "max_completion_tokens"}
    assert last["max_completion_tokens"] == 50


def test_only_workers_retry_a_busy_platform(platform, team, owner):
    once = target_of(platform.endpoint(team, owner, "busy once"))
    assert answer(once, ASK, max_tokens=50).text
    assert len(platform.requests) == 2
    with pytest.raises(RemoteError) as told:
        heard(target_of(platform.endpoint(team, owner, "busy")))
    assert told.value.retry_after == 7
    assert len(platform.requests) == 3


TROUBLE = {
    "wrong key": "did not accept the key",
    "poor": "no credit left",
    "used up": "no credit left",
    "unknown": "does not know the model",
    "busy": "is busy",
    "broken": "an error of its own (503): No capacity for …. Try again in a while.",
    "proxy": "an error of its own (502). Try again in a while.",
    "fussy": "did not accept the question (400): messages: too long for …",
    "moved": "redirects to another address",
    "web page": "not in the chat format",
    "packed": "compresses its answers",
    "breaks off": "stopped in the middle",
    "stumbles": "broke off: overloaded, …",
    "endless": "too long",
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_error_messages_are_plain_and_without_the_key(platform, team, owner, kind, caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(RemoteError) as told:
        heard(platform.endpoint(team, owner, kind))
    assert TROUBLE[kind] in told.value.message
    assert KEY not in "".join(traceback.format_exception(told.value)) + caplog.text


def test_a_redirect_is_not_followed(platform, team, owner):
    with pytest.raises(RemoteError):
        heard(platform.endpoint(team, owner, "moved"))
    assert len(platform.requests) == 1


def test_an_unreachable_host_is_reported(platform, endpoint, settings):
    endpoint.url = "http://127.0.0.1:9/v1"
    settings.ENDPOINTS_ALLOWED = frozenset({"127.0.0.1:9"})
    with pytest.raises(RemoteError, match="cannot be reached"):
        heard(endpoint)


def test_a_silent_server_times_out(platform, team, owner, monkeypatch):
    monkeypatch.setattr(client, "TOTAL_TIMEOUT_SECONDS", 0.3)
    with pytest.raises(RemoteError, match="too long"):
        heard(platform.endpoint(team, owner, "slow"))


def test_a_host_that_is_no_longer_allowed_is_not_called(platform, endpoint, settings):
    settings.ENDPOINTS_ALLOWED = frozenset()
    with pytest.raises(RemoteError, match="Only https"):
        heard(endpoint)
    endpoint.url = endpoint.url.replace("http:", "https:")
    with pytest.raises(RemoteError, match="on this machine"):
        heard(endpoint)
    assert platform.requests == []


def test_a_client_that_disconnects_closes_the_connection(platform, team, owner):
    slow = target_of(platform.endpoint(team, owner, "slow"))

    async def leave_after_the_first_word() -> None:
        async with aclosing(stream(slow, ASK, max_tokens=50)) as events:
            async for _event in events:
                break

    asyncio.run(leave_after_the_first_word())
    assert platform.hung_up.wait(5)


def test_a_target_does_not_show_its_key(endpoint):
    target = target_of(endpoint)
    assert target.key == KEY
    assert KEY not in repr(target)
    assert KEY not in f"{target}"


def test_an_unreadable_key_has_to_be_entered_again(endpoint):
    endpoint.secret = "gAAAAA-not-ours"
    with pytest.raises(RemoteError, match="enter it again"):
        target_of(endpoint)


def test_proxy_environment_variables_are_ignored(platform, endpoint, monkeypatch):
    """A proxy would connect to addresses that were not checked."""
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert heard(endpoint)[-1]["done"]
