"""Log-probabilities of tokens equal those of transformers."""

import pytest
import torch

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_base
from tests.worker.engine.transformers_reference import reference_logprobs
from worker.engine.engine import Engine
from worker.engine.generate_decoder import GenerateDecoder
from worker.engine.requests import GenerationRequest, TextWithLogprobs


def ask(prompt="Hello there", adapter=None, **options) -> GenerationRequest:
    return GenerationRequest(
        [{"role": "user", "content": prompt}], adapter, **{"max_new_tokens": 24} | options
    )


def assert_logprobs_match(base, request, answer) -> None:
    expected = reference_logprobs(base, request, answer.token_ids)
    ends = answer.token_ids[-1:] if answer.finish_reason == "stop" else []
    assert len(answer.logprobs) == len(answer.token_ids) - len(ends)
    for entry, token, reference in zip(answer.logprobs, answer.token_ids, expected, strict=False):
        assert entry["logprob"] == pytest.approx(float(reference[token]), abs=1e-3)
        best = reference.topk(request.top_logprobs) if request.top_logprobs else None
        top = [one["logprob"] for one in entry["top_logprobs"]]
        assert top == pytest.approx(best.values.tolist() if best else [], abs=1e-3)


@pytest.mark.parametrize("options", [{}, {"temperature": 1.2, "seed": 3, "top_p": 0.9}])
def test_logprobs_match_transformers_in_a_mixed_batch(engine, base, adapters, options):
    requests = [
        ask("Hello", None, top_logprobs=5, **options),
        ask("Where is my order?", adapters[0], top_logprobs=0, **options),
        ask("a", adapters[1], **options),
        ask("Thank you", adapters[1], top_logprobs=20, **options),
    ]
    answers = engine.generate(requests)
    assert answers[2].logprobs is None
    for request, answer in zip(requests, answers, strict=True):
        if answer.logprobs is not None:
            assert_logprobs_match(base, request, answer)


def test_logprobs_change_no_answer(engine):
    plain, with_logprobs = engine.generate([ask(), ask(top_logprobs=3)])
    assert plain.token_ids == with_logprobs.token_ids
    sampled = {"temperature": 1.0, "seed": 4}
    plain, with_logprobs = engine.generate([ask(**sampled), ask(top_logprobs=3, **sampled)])
    assert plain.token_ids == with_logprobs.token_ids


def test_the_bytes_of_the_tokens_add_up_to_the_text(engine):
    requests = [ask(top_logprobs=2, temperature=2.0, seed=seed) for seed in range(8)]
    # A special token within a character, which only a random model writes, is in neither.
    plain = [
        answer
        for answer in engine.generate(requests)
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
    spelled = b"".join(bytes(entry["bytes"]) for entry in cut.logprobs).decode(errors="replace")
    assert spelled == cut.text == whole.text[: whole.text.index(stop)]


def test_answers_cancelled_during_a_step_fail_no_others(base, computed_by):
    with Engine(base, "fp32") as engine:
        alone = engine.generate([ask("Stay")])[0]
        decoder = take_decoder(engine)
        gone = [engine.submit(ask(letter, top_logprobs=2)) for letter in "abcdefgh"]
        other = engine.submit(ask("Stay"))
        next_logits = decoder.next_logits

        def cancelled_meanwhile(*args):
            ready = next_logits(*args)
            for handle in gone:
                handle.cancel()
            return ready

        with torch.inference_mode():
            engine.take_turn()
            decoder.next_logits = cancelled_meanwhile
            while engine.has_work:
                engine.take_turn()
        for handle in gone:
            assert handle.result().finish_reason == "cancelled"
        assert other.result().token_ids == alone.token_ids


def test_the_generate_decoder_returns_logprobs(tmp_path):
    base = make_base(tmp_path, "mamba")
    requests = [ask("Hello", top_logprobs=4), ask("b"), ask("c", top_logprobs=0, temperature=1.0)]
    with Engine(base, "fp32") as engine:
        assert isinstance(engine._decoder, GenerateDecoder)
        answers = engine.generate(requests)
        alone = engine.generate([requests[2]])[0]
    assert_logprobs_match(base, requests[0], answers[0])
    assert_logprobs_match(base, requests[2], answers[2])
    assert alone.token_ids == answers[2].token_ids
