"""What prompts have in common is read once, and that changes no answer."""

import shutil

import pytest
import torch

from tests.starter import FOLDER as STARTER
from tests.starter import needs_starter
from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import CONFIGS, make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS
from worker.engine.adapters import BASE
from worker.engine.engine import Engine
from worker.engine.kv_cache import CopiedTokens
from worker.engine.prefix_cache import (
    MIN_PREFIX_TOKENS,
    CachedPrefix,
    PrefixCache,
    common_length,
)
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState

INSTRUCTIONS = "You sort the mail of a bicycle shop. " * 4
FAST = [kind for kind in CONFIGS if kind != "mamba"]


def ask(prompt: str, adapter=None, length: int = 12, caller: str = "") -> GenerationRequest:
    messages = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": prompt},
    ]
    return GenerationRequest(messages, adapter, max_new_tokens=length, caller=caller)


def separate_answers(base, requests) -> list[list[int]]:
    """The answers of a new engine for each request."""
    answers = []
    for request in requests:
        with Engine(base, "fp32") as engine:
            answers.append(engine.generate([request])[0].token_ids)
    return answers


def record_forward_sizes(engine: Engine, monkeypatch) -> list[int]:
    """Record the number of tokens of each forward pass from now on."""
    decoder, sizes = engine._decoder, []
    forward = decoder._forward

    def recording(step):
        sizes.append(len(step.token_ids))
        return forward(step)

    monkeypatch.setattr(decoder, "_forward", recording)
    return sizes


@pytest.mark.parametrize("kind", FAST)
def test_a_shared_prefix_changes_no_answer(kind, tmp_path, computed_by):
    base = make_base(tmp_path / "base", kind)
    request_adapters = [None, *(make_adapter(base, tmp_path / f"a{seed}", seed) for seed in (1, 2))]
    requests = [ask(p, request_adapters[i % 3], 8 + 5 * (i % 4)) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=5) as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
        again = [answer.token_ids for answer in engine.generate(requests)]
    assert together == again == separate_answers(base, requests)


@pytest.mark.parametrize("kind", ["llama", "gemma2", "gpt_neox"])
def test_a_prompt_that_is_the_beginning_of_others_changes_no_answer(kind, tmp_path, computed_by):
    base = make_base(tmp_path, kind)
    beginnings = [INSTRUCTIONS[:length] for length in (18, 19, 20, 21, 22, 24, 80)]
    requests = [GenerationRequest([], prompt=text, max_new_tokens=6) for text in beginnings]
    with Engine(base, "fp32") as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
    assert together == separate_answers(base, requests)


def test_a_shared_prefix_is_computed_once(base, monkeypatch):
    with Engine(base, "fp32") as engine:
        sizes = record_forward_sizes(engine, monkeypatch)
        first, second = (ask(prompt, length=2) for prompt in PROMPTS[:2])
        engine.generate([first])
        whole = max(sizes)
        sizes.clear()
        engine.generate([second])
        shared = common_length(*map(engine._tokenize, (first, second)))
        new = len(engine._tokenize(second)) - shared
    assert whole > MIN_PREFIX_TOKENS
    assert max(sizes) == new < whole


def test_of_prompts_that_come_together_one_reads_what_they_share(base, monkeypatch):
    requests = [ask(prompt, length=2) for prompt in PROMPTS]
    with Engine(base, "fp32") as engine:
        shared = len(engine._tokenize(ask("")))
        sizes = record_forward_sizes(engine, monkeypatch)
        engine.generate(requests)
        questions = sum(len(engine._tokenize(one)) - shared for one in requests)
    assert sum(sizes) < 1.5 * shared + questions + 2 * len(requests)


def test_the_next_turn_of_a_conversation_reads_only_what_is_new(base, monkeypatch):
    first = ask(PROMPTS[0], length=40)
    with Engine(base, "fp32") as engine:
        answer = engine.generate([first])[0]
        messages = [
            *first.messages,
            {"role": "assistant", "content": answer.text},
            {"role": "user", "content": "And then?"},
        ]
        second = GenerationRequest(messages, max_new_tokens=5)
        known = len(engine._tokenize(first))
        new = len(engine._tokenize(second)) - known
        sizes = record_forward_sizes(engine, monkeypatch)
        answers = engine.generate([second])
    assert max(sizes) <= new < known
    assert [one.token_ids for one in answers] == separate_answers(base, [second])


def test_callers_share_nothing(base, monkeypatch):
    """Else the time to the first token would tell one caller what another one has asked."""
    with Engine(base, "fp32") as engine:
        sizes = record_forward_sizes(engine, monkeypatch)
        engine.generate([ask(PROMPTS[0], length=2, caller="1")])
        whole = max(sizes)
        sizes.clear()
        engine.generate([ask(PROMPTS[0], length=2, caller="2")])
        assert max(sizes) == whole
        sizes.clear()
        engine.generate([ask(PROMPTS[0], length=2, caller="1")])
        assert max(sizes) < MIN_PREFIX_TOKENS


def test_when_the_one_that_reads_leaves_the_others_go_on(base):
    with Engine(base, "fp32") as engine:
        decoder = take_decoder(engine)
        sequences = [state_of(engine, ask(prompt, length=4)) for prompt in PROMPTS[:3]]
        with torch.inference_mode():
            decoder.add(sequences)
            leader, *followers = sequences
            assert set(decoder._following) == set(followers)
            leader.cancel_event.set()
            assert decoder.remove_finished() == [leader]
            while not all(one.is_finished for one in followers):
                decoder.step()
    expected = separate_answers(base, [one.request for one in followers])
    assert [one.output_token_ids[:4] for one in followers] == expected


def state_of(engine: Engine, request: GenerationRequest) -> SequenceState:
    prompt, eos = engine._tokenize(request), engine.loaded.eos_token_ids
    return SequenceState(request, prompt, BASE, request.max_new_tokens, eos)


def test_a_changed_adapter_does_not_reuse_cached_prefixes(base, tmp_path):
    old = make_adapter(base, tmp_path / "a", 1)
    new = make_adapter(base, tmp_path / "b", 2)
    with Engine(base, "fp32") as engine:
        before = engine.generate([ask(prompt, old) for prompt in PROMPTS])
        shutil.rmtree(old)
        shutil.copytree(new, old)
        after = engine.generate([ask(prompt, old) for prompt in PROMPTS])
    expected = separate_answers(base, [ask(prompt, new) for prompt in PROMPTS])
    assert [answer.token_ids for answer in after] == expected
    assert [answer.token_ids for answer in before] != expected


def test_the_prefix_cache_is_bounded(base):
    with Engine(base, "fp32") as engine:
        engine.generate([ask(PROMPTS[0])])
        decoder = engine._decoder
        decoder.prefixes.max_bytes = int(2.5 * decoder.prefixes.bytes)
        engine.generate([ask(prompt) for prompt in PROMPTS])
        assert len(decoder.prefixes._prefixes) == 2
        assert decoder.prefixes.bytes == sum(
            one.kept.bytes for one in decoder.prefixes._prefixes.values()
        )


def test_one_that_is_too_large_drives_out_no_other(base):
    with Engine(base, "fp32") as engine:
        engine.generate([ask(PROMPTS[0])])
        decoder = engine._decoder
        kept = list(decoder.prefixes._prefixes)
        decoder.prefixes.max_bytes = int(1.5 * decoder.prefixes.bytes)
        engine.generate([ask(" ".join(PROMPTS) * 3)])
        assert list(decoder.prefixes._prefixes) == kept


def test_a_longer_prefix_takes_the_place_of_those_it_continues():
    cache, empty = PrefixCache(), CopiedTokens({})
    short, long = tuple(range(70)), tuple(range(100))
    cache.add(("a", ""), CachedPrefix(short, empty))
    cache.add(("b", ""), CachedPrefix(short, empty))
    cache.add(("a", ""), CachedPrefix(long, empty))
    assert [(scope[0], len(tokens)) for scope, tokens in cache._prefixes] == [("b", 70), ("a", 100)]
    assert not cache.lacks(("a", ""), short)
    assert cache.lacks(("b", ""), long)


@pytest.mark.parametrize("shared", [0, 1, 63, 64, 99, 100])
def test_common_length(shared):
    one = list(range(100))
    assert common_length(one, (*one[:shared], -1, *one[shared + 1 :])) == shared
    assert common_length(one[:shared], tuple(one)) == shared


@pytest.mark.long
@needs_starter
def test_the_starter_answers_the_same(tmp_path):
    adapter = make_adapter(STARTER, tmp_path, 3, init_lora_weights=True)
    requests = [ask(p, adapter if i % 2 else None) for i, p in enumerate(PROMPTS[:4])]
    with Engine(STARTER, "fp32") as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
    assert together == separate_answers(STARTER, requests)
