"""Log-probabilities of tokens, in OpenAI's format."""

import math

import openai
import pytest

from tests.gateway.chat_requests import ask


def entries_of(choice) -> list:
    return choice.logprobs.content


def assert_same_token(one, other) -> None:
    """The numbers may differ in their last digits: how many rows are computed together depends on
    when each request arrives."""
    assert (one.token, one.bytes) == (other.token, other.bytes)
    assert one.logprob == pytest.approx(other.logprob, abs=1e-4)
    for alternative, same in zip(one.top_logprobs, other.top_logprobs, strict=True):
        assert (alternative.token, alternative.bytes) == (same.token, same.bytes)
        assert alternative.logprob == pytest.approx(same.logprob, abs=1e-4)


def test_each_token_has_its_top_alternatives(client):
    reply = ask(client, logprobs=True, top_logprobs=3)
    entries = entries_of(reply.choices[0])
    assert entries
    for entry in entries:
        assert entry.logprob <= 0
        assert bytes(entry.bytes).decode(errors="replace") == entry.token
        likeliest = [one.logprob for one in entry.top_logprobs]
        assert likeliest == sorted(likeliest, reverse=True)
        assert len(likeliest) == 3
        assert entry.top_logprobs[0].token == entry.token  # it answers greedily
        assert sum(math.exp(value) for value in likeliest) <= 1.001


def test_without_top_logprobs_only_the_token_is_reported(client):
    assert all(
        entry.top_logprobs == [] for entry in entries_of(ask(client, logprobs=True).choices[0])
    )


def test_logprobs_are_null_by_default(client):
    assert ask(client).choices[0].logprobs is None
    assert all(chunk.choices[0].logprobs is None for chunk in ask(client, stream=True))


def test_a_stream_reports_the_same_logprobs(client):
    asked = {"logprobs": True, "top_logprobs": 2, "n": 2, "temperature": 1.0, "seed": 7}
    whole = ask(client, **asked)
    streamed = {0: [], 1: []}
    for chunk in ask(client, stream=True, **asked):
        (choice,) = chunk.choices
        streamed[choice.index] += entries_of(choice) if choice.logprobs else []
    for choice in whole.choices:
        for one, other in zip(streamed[choice.index], entries_of(choice), strict=True):
            assert_same_token(one, other)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs"),
        ({"logprobs": True, "top_logprobs": -1}, "top_logprobs"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logprobs": 5}, "logprobs"),
    ],
)
def test_invalid_logprobs_are_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **more)
    assert refused.value.param == param
