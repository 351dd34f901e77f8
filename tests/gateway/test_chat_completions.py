"""Chat completions, by OpenAI's own client."""

import json

import httpx
import openai
import pytest

from finetune_app.deployment import services
from finetune_app.request_log.models import Request
from tests.gateway.chat_requests import HELLO, MODEL, ask
from tests.worker.conftest import wait_for


def text_of(client, **more) -> str:
    return ask(client, **more).choices[0].message.content


def test_a_completion_has_all_fields(client):
    reply = ask(client)
    (choice,) = reply.choices
    assert reply.object == "chat.completion"
    assert reply.model == MODEL
    assert choice.message.role == "assistant"
    assert choice.message.content
    assert choice.finish_reason in ("stop", "length")
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + reply.usage.completion_tokens
    assert 0 < reply.usage.completion_tokens <= 12


def test_the_tuned_model_answers_instead_of_its_base(client):
    assert text_of(client) != text_of(client, model="starter")


def test_without_sampling_parameters_it_answers_greedily(client):
    assert text_of(client) == text_of(client) == text_of(client, temperature=0)


def test_a_stream_adds_up_to_the_same_text(client):
    chunks = list(ask(client, stream=True))
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == text_of(client)
    assert chunks[0].choices[0].delta.role == "assistant"
    assert {c.id for c in chunks} == {chunks[0].id}
    assert [c.choices[0].finish_reason for c in chunks[:-1]] == [None] * (len(chunks) - 1)
    assert chunks[-1].choices[0].finish_reason in ("stop", "length")
    assert all(c.usage is None for c in chunks)


def test_a_stream_with_include_usage_ends_with_usage(client):
    *_, last = ask(client, stream=True, stream_options={"include_usage": True})
    assert last.choices == []
    assert last.usage.completion_tokens > 0


def test_the_stream_ends_with_done(address, key, live):
    body = {"model": MODEL, "messages": HELLO, "stream": True, "max_tokens": 4}
    headers = {"Authorization": f"Bearer {key[1]}"}
    with httpx.stream("POST", f"{address}/chat/completions", json=body, headers=headers) as reply:
        assert reply.headers["content-type"] == "text/event-stream"
        lines = [line for line in reply.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines)
    assert lines[-1] == "data: [DONE]"
    assert json.loads(lines[0][6:])["object"] == "chat.completion.chunk"


def test_n_returns_several_choices(client):
    reply = ask(client, n=3, temperature=1.5, seed=5)
    assert [choice.index for choice in reply.choices] == [0, 1, 2]
    assert len({choice.message.content for choice in reply.choices}) > 1
    streamed = {0: "", 1: "", 2: ""}
    for chunk in ask(client, n=3, temperature=1.5, seed=5, stream=True):
        streamed[chunk.choices[0].index] += chunk.choices[0].delta.content or ""
    assert streamed == {choice.index: choice.message.content for choice in reply.choices}


def test_the_same_seed_draws_the_same_answer(client):
    warm = {"temperature": 1.5, "max_tokens": 16}
    assert text_of(client, seed=3, **warm) == text_of(client, seed=3, **warm)
    assert text_of(client, seed=3, **warm) != text_of(client, seed=4, **warm)


def test_a_frequency_penalty_changes_the_answer(client):
    plain = text_of(client, max_tokens=40)
    assert text_of(client, max_tokens=40, frequency_penalty=2, presence_penalty=2) != plain
    assert text_of(client, max_tokens=40, frequency_penalty=0) == plain


def test_stop_ends_the_answer_before_the_stop_text(client):
    whole = text_of(client, max_tokens=12)
    stop = whole[len(whole) // 2 :][:2]
    reply = ask(client, max_tokens=12, stop=stop)
    assert reply.choices[0].message.content == whole[: whole.index(stop)]
    assert reply.choices[0].finish_reason == "stop"


def test_finish_reason_is_length_at_max_tokens(client):
    assert ask(client, max_tokens=1).choices[0].finish_reason == "length"
    assert ask(client, max_completion_tokens=1).usage.completion_tokens == 1


def test_text_parts_and_developer_messages_are_accepted(client):
    parts = [{"type": "text", "text": "Hello "}, {"type": "text", "text": "there"}]
    assert text_of(client, messages=[{"role": "user", "content": parts}]) == text_of(client)
    developer = {"role": "developer", "content": "Be brief."}
    system = {"role": "system", "content": "Be brief."}
    assert text_of(client, messages=[developer, *HELLO]) == text_of(
        client, messages=[system, *HELLO]
    )


def test_a_conversation_with_several_turns(client):
    turns = [*HELLO, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "Bye"}]
    assert text_of(client, messages=turns)


def test_unknown_fields_are_ignored(client):
    assert text_of(client, user="mara", metadata={"a": "b"}, extra_body={"store": False})


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"logit_bias": {"5": 1}}, "logit_bias"),
        ({"frequency_penalty": 2.5}, "frequency_penalty"),
        ({"presence_penalty": "much"}, "presence_penalty"),
        ({"temperature": 3}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 0}, "n"),
        ({"n": 99}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"stop": ["a", "b", "c", "d", "e"]}, "stop"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "bot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": None}]}, "messages[0].content"),
        ({"messages": [*HELLO, {"role": "assistant", "content": "x"}]}, "messages"),
        ({"model": ""}, "model"),
    ],
)
def test_unsupported_parameters_are_refused_by_name(client, more, param):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, **more)
    assert refused.value.param == param
    assert refused.value.body["message"]


def test_an_image_part_is_refused(client):
    part = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}
    with pytest.raises(openai.BadRequestError, match="pictures"):
        ask(client, messages=[{"role": "user", "content": [part]}])


def test_a_too_long_conversation_is_context_length_exceeded(client):
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, messages=[{"role": "user", "content": "word " * 4000}])
    assert refused.value.code == "context_length_exceeded"


@pytest.mark.parametrize("body", [b"", b"nonsense", b"[]", b"{" * 100_000, b'"text"', b"\xff"])
def test_an_invalid_body_gets_a_400(address, key, live, body):
    headers = {"Authorization": f"Bearer {key[1]}", "Content-Type": "application/json"}
    reply = httpx.post(f"{address}/chat/completions", content=body, headers=headers)
    assert reply.status_code == 400
    assert reply.json()["error"]["type"] == "invalid_request_error"


def test_an_unknown_model_gets_a_404(client):
    with pytest.raises(openai.NotFoundError) as refused:
        ask(client, model="gpt-4o")
    assert refused.value.code == "model_not_found"


def test_a_paused_deployment_gets_a_503(client, live):
    services.pause(deployment=live)
    with pytest.raises(openai.InternalServerError, match="paused"):
        ask(client)


def test_an_unavailable_engine_gets_a_503_before_the_stream_starts(client, settings, caplog):
    settings.ENGINE_SOCKET = "/nowhere/engine.sock"
    with pytest.raises(openai.InternalServerError) as refused:
        ask(client, stream=True)
    assert refused.value.status_code == 503
    assert "answered 503, engine_unavailable: " in caplog.text  # says why to who runs it


def test_each_request_is_logged_without_its_text(client, key, live):
    ask(client)
    list(ask(client, stream=True))
    with pytest.raises(openai.BadRequestError):
        ask(client, messages=[{"role": "user", "content": "word " * 4000}])
    wait_for(lambda: Request.objects.count() == 3, seconds=10)
    rows = list(Request.objects.order_by("pk"))
    assert [row.status for row in rows] == [200, 200, 400]
    assert [row.streamed for row in rows] == [False, True, False]
    assert rows[0].tokens > 0
    assert rows[0].first_seconds is None, "nobody saw the first word of an answer sent whole"
    assert rows[1].first_seconds <= rows[1].seconds
    assert {row.key for row in rows} == {key[0]}
    assert {row.release for row in rows} == {live.current}
    assert "Hello" not in json.dumps([str(vars(row)) for row in rows])
