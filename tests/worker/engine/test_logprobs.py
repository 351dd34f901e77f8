"""How sure the model was of each token: what transformers itself computes, where it was asked."""

import pytest

from tests.worker.engine.tiny_models import make_base
from tests.worker.engine.transformers_reference import plain_logprobs
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest, TextWithLogprobs


def ask(prompt="Hello there", adapter=None, **options) -> GenerationRequest:
    return GenerationRequest(
        [{"role": "user", "content": prompt}], adapter, **{"max_new_tokens": 24} | options
    )


def check(base, request, answer) -> None:
    wanted = plain_logprobs(base, request, answer.token_ids)
    ends = answer.token_ids[-1:] if answer.finish_reason == "stop" else []
    assert len(answer.logprobs) == len(answer.token_ids) - len(ends)
    for entry, token, sure in zip(answer.logprobs, answer.token_ids, wanted, strict=False):
        assert entry["logprob"] == pytest.approx(float(sure[token]), abs=1e-3)
        best = sure.topk(request.top_logprobs) if request.top_logprobs else None
        told = [one["logprob"] for one in entry["top_logprobs"]]
        assert told == pytest.approx(best.values.tolist() if best else [], abs=1e-3)


@pytest.mark.parametrize("options", [{}, {"temperature": 1.2, "seed": 3, "top_p": 0.9}])
def test_logprobs_match_transformers_in_a_mixed_batch(engine, base, adapters, options):
    asked = [
        ask("Hello", None, top_logprobs=5, **options),
        ask("Where is my order?", adapters[0], top_logprobs=0, **options),
        ask("a", adapters[1], **options),
        ask("Thank you", adapters[1], top_logprobs=20, **options),
    ]
    answers = engine.generate(asked)
    assert answers[2].logprobs is None
    for request, answer in zip(asked, answers, strict=True):
        if answer.logprobs is not None:
            check(base, request, answer)


def test_logprobs_change_no_answer(engine):
    plain, told = engine.generate([ask(), ask(top_logprobs=3)])
    assert plain.token_ids == told.token_ids
    drawn = {"temperature": 1.0, "seed": 4}
    plain, told = engine.generate([ask(**drawn), ask(top_logprobs=3, **drawn)])
    assert plain.token_ids == told.token_ids


def test_the_bytes_of_the_tokens_make_the_text(engine):
    drawn = [ask(top_logprobs=2, temperature=2.0, seed=seed) for seed in range(8)]
    # A mark in the middle of a character, which only a random model writes, is left out of both.
    plain = [
        answer
        for answer in engine.generate(drawn)
        if not engine.vocabulary.hidden & set(answer.token_ids[:-1])
    ]
    assert plain
    for answer in plain:
        spelled = bytes(byte for entry in answer.logprobs for byte in entry["bytes"])
        assert spelled.decode(errors="replace") == answer.text
        for entry in answer.logprobs:
            assert bytes(entry["bytes"]).decode(errors="replace") == entry["token"]


def test_streamed_text_carries_its_own_logprobs(engine):
    handle = engine.submit(ask(top_logprobs=1, temperature=2.0, seed=1))
    pieces = list(handle)
    assert all(isinstance(piece, TextWithLogprobs) for piece in pieces)
    assert [e for piece in pieces for e in piece.logprobs] == handle.completion.logprobs


def test_no_logprobs_after_a_stop_string(engine):
    whole = engine.generate([ask(top_logprobs=0)])[0]
    stop = whole.text[10:13]
    cut = engine.generate([ask(top_logprobs=0, stop=(stop,))])[0]
    assert cut.finish_reason == "stop"
    told = b"".join(bytes(entry["bytes"]) for entry in cut.logprobs).decode(errors="replace")
    assert told == cut.text == whole.text[: whole.text.index(stop)]


def test_generate_gives_logprobs_too(tmp_path):
    base = make_base(tmp_path, "mamba")
    asked = [ask("Hello", top_logprobs=4), ask("b"), ask("c", top_logprobs=0, temperature=1.0)]
    with Engine(base, "fp32") as engine:
        assert not engine.uses_slot_decoder
        answers = engine.generate(asked)
        alone = engine.generate([asked[2]])[0]
    check(base, asked[0], answers[0])
    check(base, asked[2], answers[2])
    assert alone.token_ids == answers[2].token_ids
