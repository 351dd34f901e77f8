"""A batch from its file to its answers, by OpenAI's own client."""

import json
from dataclasses import replace

import pytest

from finetune_app.api_keys.models import ApiKey
from finetune_app.batches.models import BatchRequest
from finetune_app.candidates import inference
from finetune_app.providers.client import target_of
from finetune_app.request_log.models import Request
from tests.batches.batch_files import (
    CHAT,
    MODEL,
    batch_of,
    line,
    read,
    run_slice,
    run_to_end,
    send,
    with_body,
)
from tests.providers.conftest import platform  # noqa: F401


def test_each_request_gets_its_answer(client, engine, live):
    sent = send(client, [line(n) for n in range(20)], metadata={"night": "12"})
    assert (sent.status, sent.object, sent.endpoint) == ("validating", "batch", CHAT)
    assert sent.expires_at - sent.created_at in (86_400, 86_401)
    done = run_to_end(client, sent)
    assert (done.status, done.model, done.metadata) == ("completed", MODEL, {"night": "12"})
    assert vars(done.request_counts) == {"total": 20, "completed": 20, "failed": 0}
    assert (done.usage.input_tokens, done.usage.output_tokens) == (100, 60)
    assert done.in_progress_at <= done.finalizing_at <= done.completed_at
    assert done.error_file_id is None
    answers = read(client, done.output_file_id)
    assert list(answers) == [f"row-{n}" for n in range(20)], "in the order of the file"
    for number, answer in enumerate(answers.values()):
        assert answer["error"] is None
        assert answer["response"]["status_code"] == 200
        [choice] = answer["response"]["body"]["choices"]
        assert choice["message"]["content"] == f"answer to question {number}"
    assert not BatchRequest.objects.exists()
    file = client.files.retrieve(done.output_file_id)
    assert (file.purpose, file.filename) == ("batch_output", f"{sent.id}_output.jsonl")


def test_a_model_answers_as_it_does_when_it_is_asked_live(client, live):
    """The real engine, with a tiny model."""
    body = line(1)["body"]
    done = run_to_end(client, send(client, [line(n) for n in range(6)]))
    assert done.status == "completed"
    answer = read(client, done.output_file_id)["row-1"]["response"]["body"]
    asked = client.chat.completions.create(**body)
    assert answer["choices"][0]["message"]["content"] == asked.choices[0].message.content
    assert answer["usage"]["prompt_tokens"] == asked.usage.prompt_tokens


def test_other_endpoints_are_asked_too(client, engine, live, monkeypatch):
    url = "/v1/completions"
    body = {"model": "starter", "prompt": "Once", "max_tokens": 3}
    rows = [line(1, url=url) | {"body": body}]
    done = run_to_end(client, send(client, rows, endpoint=url))
    text = read(client, done.output_file_id)["row-1"]["response"]["body"]
    assert text["object"] == "text_completion"

    async def embed(texts, **_more):
        return [[0.6, 0.8] for _text in texts], 2

    monkeypatch.setattr("finetune_app.core.engine_client.embed", embed)
    url = "/v1/responses"
    rows = [line(1, url=url) | {"body": {"model": MODEL, "input": "Once"}}]
    rows += [line(2, url=url) | {"body": {"model": MODEL, "input": []}}]
    done = run_to_end(client, send(client, rows, endpoint=url))
    response = read(client, done.output_file_id)["row-1"]["response"]["body"]
    assert (response["object"], response["status"]) == ("response", "completed")
    assert (done.usage.input_tokens, done.usage.output_tokens) == (5, 3)
    error = read(client, done.error_file_id)["row-2"]["response"]["body"]["error"]
    assert error["param"] == "input"
    url = "/v1/embeddings"
    rows = [line(1, url=url) | {"body": {"model": "all-minilm-l6-v2", "input": "Hello"}}]
    done = run_to_end(client, send(client, rows, endpoint=url))
    vectors = read(client, done.output_file_id)["row-1"]["response"]["body"]
    assert vectors["data"][0]["embedding"] == [0.6, 0.8]
    assert done.usage.input_tokens == 2


def test_a_request_that_is_wrong_is_an_error_of_its_own(client, engine, live):
    rows = [line(1), with_body(2, temperature=9), with_body(3, stream=True), line(4)]
    done = run_to_end(client, send(client, rows))
    assert done.status == "completed"
    assert vars(done.request_counts) == {"total": 4, "completed": 2, "failed": 2}
    assert set(read(client, done.output_file_id)) == {"row-1", "row-4"}
    errors = read(client, done.error_file_id)
    assert errors["row-2"]["response"]["status_code"] == 400
    assert errors["row-2"]["response"]["body"]["error"]["param"] == "temperature"
    assert errors["row-3"]["response"]["body"]["error"]["param"] == "stream"


@pytest.mark.parametrize(("model", "status"), [("fussy", 400), ("poor", 502)])
def test_what_a_platform_refuses_for_good_is_asked_once(
    client,
    platform,  # noqa: F811
    live,
    team,
    owner,
    monkeypatch,
    model,
    status,
):
    """Nobody waits for it: the other requests would expire meanwhile."""
    target = target_of(platform.endpoint(team, owner, model))
    request_for = inference.request_for
    monkeypatch.setattr(
        inference, "request_for", lambda one: replace(request_for(one), endpoint=target)
    )
    sent = send(client, [line(1), line(2)])
    assert run_slice(sent).state == "succeeded"
    errors = read(client, client.batches.retrieve(sent.id).error_file_id)
    assert {one["response"]["status_code"] for one in errors.values()} == {status}
    assert len(platform.requests) == len(errors) == 2
    assert Request.objects.filter(status=status, deployment=live).count() == 2


def test_where_everything_is_wrong_there_is_no_output_file(client, engine, live):
    done = run_to_end(client, send(client, [with_body(1, n=99)]))
    assert done.output_file_id is None
    assert set(read(client, done.error_file_id)) == {"row-1"}


def test_it_is_asked_in_the_background_a_few_at_once(client, engine, live):
    engine.pause_seconds = 0.02
    run_to_end(client, send(client, [line(n) for n in range(40)]))
    assert engine.background == {True}
    assert 2 <= engine.most_at_once <= 8
    assert sorted(engine.asked) == sorted(f"question {n}" for n in range(40)), "each once"


def test_its_requests_are_logged_and_counted_like_others(client, engine, live, key):
    run_to_end(client, send(client, [line(n) for n in range(3)]))
    rows = Request.objects.all()
    assert [(row.status, row.tokens, row.key) for row in rows] == [(200, 3, key[0])] * 3
    assert {row.deployment for row in rows} == {live}
    assert ApiKey.objects.get().month_tokens == 24


def test_it_uses_none_of_the_tokens_a_minute_that_live_requests_have(client, engine, live, key):
    ApiKey.objects.filter(pk=key[0].pk).update(tokens_per_minute=10)
    run_to_end(client, send(client, [line(n) for n in range(5)]))
    assert client.chat.completions.create(**line(9)["body"]).choices


def test_output_files_expire_when_they_are_told_to(client, engine, live):
    expiry = {"anchor": "created_at", "seconds": 3600}
    done = run_to_end(client, send(client, [line(1)], output_expires_after=expiry))
    file = client.files.retrieve(done.output_file_id)
    assert file.expires_at - file.created_at == 3600


def test_hostile_texts_come_back_as_they_were(client, engine, live):
    ids = ["\u202egnp.exe", "😀" * 128, "'; DROP TABLE batches;--", "  ", "<svg onload=alert(1)>"]
    rows = [line(n, custom_id=one) for n, one in enumerate(ids)]
    done = run_to_end(client, send(client, rows))
    assert list(read(client, done.output_file_id)) == ids


def test_texts_that_are_no_unicode_are_answered(client, engine, live):
    row = json.dumps(line(1)).replace("question 1", "half \\ud800 and \\u0000").encode()
    done = run_to_end(client, send(client, row + b"\n"))
    assert vars(done.request_counts)["completed"] == 1


@pytest.mark.parametrize("slices", [1, 3])
def test_a_slice_ends_and_another_job_gets_its_turn(client, engine, live, monkeypatch, slices):
    monkeypatch.setattr("finetune_app.batches.answering.SLICE_SECONDS", 0.1)
    engine.pause_seconds = 0.05
    sent = send(client, [line(n) for n in range(60)])
    for _slice in range(slices):
        assert run_slice(sent).state == "queued"
    counts = client.batches.retrieve(sent.id).request_counts
    assert 0 < counts.completed < counts.total
    assert run_to_end(client, sent).request_counts.completed == 60
    assert len(engine.asked) == 60, "each was asked once"
    assert batch_of(sent).job.done == 60
