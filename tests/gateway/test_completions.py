"""POST /v1/completions: the model continues the given text."""

import openai
import pytest

from finetune_app.candidates import services as candidates
from finetune_app.deployment import services
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import MODEL
from tests.worker.conftest import wait_for

TEXT = "Once upon a time"


def complete(client, **more):
    return client.completions.create(**{"model": MODEL, "prompt": TEXT, "max_tokens": 12} | more)


def text_of(client, **more) -> str:
    return complete(client, **more).choices[0].text


def test_a_text_is_continued(client):
    reply = complete(client)
    (choice,) = reply.choices
    assert reply.object == "text_completion"
    assert reply.id.startswith("cmpl-")
    assert choice.text
    assert choice.finish_reason in ("stop", "length")
    assert choice.logprobs is None
    assert reply.usage.prompt_tokens == len(TEXT)  # one token a letter, without a chat template
    assert reply.usage.completion_tokens <= 12


def test_the_tuned_model_continues_instead_of_its_base(client):
    assert text_of(client) != text_of(client, model="starter")


def test_sixteen_tokens_are_the_default(client):
    assert client.completions.create(model=MODEL, prompt=TEXT).usage.completion_tokens <= 16


def test_several_prompts_with_several_choices_each(client):
    asked = {"prompt": [TEXT, "Where is"], "n": 2, "temperature": 1.2, "seed": 5}
    reply = complete(client, **asked)
    assert [choice.index for choice in reply.choices] == [0, 1, 2, 3]
    assert reply.usage.prompt_tokens == len(TEXT) + len("Where is")
    alone = complete(client, **asked | {"prompt": "Where is"})
    assert [c.text for c in reply.choices[2:]] == [c.text for c in alone.choices]
    streamed = dict.fromkeys(range(4), "")
    for chunk in complete(client, **asked, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].text
    assert streamed == {choice.index: choice.text for choice in reply.choices}


def test_a_stream_ends_with_finish_reason_and_usage(client):
    *_, end, usage = complete(client, stream=True, stream_options={"include_usage": True})
    assert end.choices[0].finish_reason in ("stop", "length")
    assert usage.choices == []
    assert usage.usage.prompt_tokens == len(TEXT)


def test_stop_and_seed(client):
    whole = text_of(client)
    stop = whole[4:6]
    assert text_of(client, stop=stop) == whole[: whole.index(stop)]
    warm = {"temperature": 1.5, "max_tokens": 16}
    assert text_of(client, seed=3, **warm) == text_of(client, seed=3, **warm)
    assert text_of(client, seed=3, **warm) != text_of(client, seed=4, **warm)


def test_logprobs_have_the_older_format(client):
    choice = complete(client, logprobs=2, temperature=1.0).choices[0]
    logprobs = choice.logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.text_offset)
    assert all(len(likeliest) <= 2 for likeliest in logprobs.top_logprobs)
    assert logprobs.text_offset[0] == 0
    assert logprobs.text_offset == sorted(logprobs.text_offset)
    tokens, offsets = [], []
    for chunk in complete(client, logprobs=2, temperature=1.0, stream=True):
        if chunk.choices[0].logprobs:
            tokens += chunk.choices[0].logprobs.tokens
            offsets += chunk.choices[0].logprobs.text_offset
    assert (tokens, offsets) == (logprobs.tokens, logprobs.text_offset)


def test_zero_logprobs_are_those_of_the_written_tokens_alone(client):
    logprobs = complete(client, logprobs=0).choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) > 0
    assert all(one < 0 for one in logprobs.token_logprobs)
    assert not any(logprobs.top_logprobs)
    assert complete(client, logprobs=False).choices[0].logprobs is None


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"prompt": [1, 2, 3]}, "prompt"),
        ({"prompt": [[1, 2], [3]]}, "prompt"),
        ({"prompt": ""}, "prompt"),
        ({"prompt": []}, "prompt"),
        ({"prompt": ["a"] * 9}, "n"),
        ({"echo": True}, "echo"),
        ({"suffix": "the end"}, "suffix"),
        ({"best_of": 3}, "best_of"),
        ({"logprobs": 6}, "logprobs"),
        ({"logit_bias": {"1": 2}}, "logit_bias"),
        ({"prompt": "word " * 4000}, "prompt"),
        ({"temperature": 3}, "temperature"),
    ],
)
def test_unsupported_parameters_are_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        complete(client, **more)
    assert refused.value.param == param


def test_a_candidate_with_instructions_cannot_continue_text(client, live, owner, monkeypatch):
    tuned = live.current.candidate
    candidate = candidates.tuned_candidate(training=tuned.training)
    type(candidate).objects.filter(pk=candidate.pk).update(instructions="Be brief.")
    with pytest.raises(openai.BadRequestError, match="chat/completions") as refused:
        complete(client)
    assert refused.value.param == "model"


def test_each_request_is_logged(client, key, live):
    complete(client)
    with pytest.raises(openai.NotFoundError):
        complete(client, model="gpt-3.5-turbo-instruct")
    wait_for(lambda: Request.objects.count() == 2, seconds=10)
    assert [row.status for row in Request.objects.order_by("pk")] == [200, 404]


def test_a_paused_deployment_gets_a_503(client, live):
    services.pause(deployment=live)
    with pytest.raises(openai.InternalServerError, match="paused"):
        complete(client)
