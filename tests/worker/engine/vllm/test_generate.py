"""The vLLM backend returns what our own engine returns."""

import json

import pytest

from tests.worker.engine.vllm.vllm_requests import answer, ask
from worker.engine.requests import PromptTooLong

HELLO = [{"role": "user", "content": "Hello there"}]


def test_a_batch_of_mixed_adapters_gives_the_same_answers(served, engine, adapters):
    asked = [ask(None), ask(adapters[0]), ask(adapters[1]), ask(adapters[0], prompt="Good")]
    handles = [served.submit(request) for request in asked]
    theirs, ours = [handle.result() for handle in handles], engine.generate(asked)
    assert [one.token_ids for one in theirs] == [one.token_ids for one in ours]
    assert [one.finish_reason for one in theirs] == [one.finish_reason for one in ours]
    assert [one.prompt_tokens for one in theirs] == [one.prompt_tokens for one in ours]
    assert len({one.text for one in theirs}) == 4


def test_tokens_are_counted_while_they_are_written(served, adapters):
    handle = served.submit(ask(adapters[0]))
    counts = [handle.tokens for _text in handle]
    assert counts == sorted(counts)
    assert 1 <= counts[0] <= handle.completion.tokens
    assert handle.prompt_tokens == handle.completion.prompt_tokens


def test_penalties_and_stop_strings_are_applied(served, engine, adapters):
    penalised = ask(adapters[0], presence_penalty=0.5, frequency_penalty=0.5)
    whole = engine.generate([penalised])[0]
    assert answer(served, penalised).token_ids == whole.token_ids
    stop = whole.text[4:6]
    cut = ask(adapters[0], presence_penalty=0.5, frequency_penalty=0.5, stop=(stop,))
    assert answer(served, cut).text == engine.generate([cut])[0].text
    assert stop not in answer(served, cut).text


def test_logprobs_match_our_engine(served, engine, adapters):
    asked = ask(adapters[1], top_logprobs=3)
    theirs, ours = answer(served, asked).logprobs, engine.generate([asked])[0].logprobs
    assert [one["bytes"] for one in theirs] == [one["bytes"] for one in ours]
    for one, other in zip(theirs, ours, strict=True):
        assert one["logprob"] == pytest.approx(other["logprob"], abs=1e-3)
        assert [best["bytes"] for best in one["top_logprobs"]] == [
            best["bytes"] for best in other["top_logprobs"]
        ]


def test_a_schema_gives_the_same_answer(served, engine):
    schema = {
        "type": "object",
        "properties": {"n": {"enum": [1, 22]}},
        "required": ["n"],
        "additionalProperties": False,
    }
    asked = ask(schema=json.dumps(schema), max_new_tokens=60)
    served.prepare([asked])
    theirs = answer(served, asked)
    assert theirs.token_ids == engine.generate([asked])[0].token_ids
    assert json.loads(theirs.text)["n"] in {1, 22}


def test_a_seed_is_reproducible(served):
    first, again, other = (
        answer(served, ask(temperature=1.5, seed=seed)).text for seed in (1, 1, 2)
    )
    assert first == again != other


def test_a_prompt_without_room_for_an_answer_is_rejected(served):
    with pytest.raises(PromptTooLong, match="see only 4096"):
        served.submit(ask(prompt="a" * 5000))
