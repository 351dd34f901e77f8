"""A prefix that prompts share is computed once, and changes no answer."""

import shutil

import pytest

from tests.starter import FOLDER as STARTER
from tests.starter import needs_starter
from tests.worker.engine.tiny_models import CONFIGS, make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS
from worker.engine.engine import Engine
from worker.engine.prefix_cache import MIN_PREFIX_TOKENS, PrefixCache
from worker.engine.requests import GenerationRequest

INSTRUCTIONS = "You sort the mail of a bicycle shop. " * 4
FAST = [kind for kind in CONFIGS if kind != "mamba"]


def ask(prompt: str, adapter=None, length: int = 12) -> GenerationRequest:
    system = {"role": "system", "content": INSTRUCTIONS}
    return GenerationRequest(
        [system, {"role": "user", "content": prompt}], adapter, max_new_tokens=length
    )


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
    forward = decoder._llama

    def recording(step):
        sizes.append(len(step.token_ids))
        return forward(step)

    monkeypatch.setattr(decoder, "_llama", recording)
    return sizes


@pytest.mark.parametrize("kind", FAST)
def test_a_shared_prefix_changes_no_answer(kind, tmp_path):
    base = make_base(tmp_path / "base", kind)
    request_adapters = [None, *(make_adapter(base, tmp_path / f"a{seed}", seed) for seed in (1, 2))]
    requests = [ask(p, request_adapters[i % 3], 8 + 5 * (i % 4)) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=5) as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
        again = [answer.token_ids for answer in engine.generate(requests)]
    assert together == again == separate_answers(base, requests)


def test_a_shared_prefix_is_computed_once(base, monkeypatch):
    with Engine(base, "fp32") as engine:
        sizes = record_forward_sizes(engine, monkeypatch)
        first, second, third = (ask(prompt, length=2) for prompt in PROMPTS[:3])
        engine.generate([first])
        whole = max(sizes)
        engine.generate([second])  # finds the shared prefix and caches it
        sizes.clear()
        engine.generate([third])
    assert whole > MIN_PREFIX_TOKENS
    assert max(sizes) < whole // 4


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


def test_the_prefix_cache_is_bounded(base, monkeypatch):
    with Engine(base, "fp32") as engine:
        engine.generate([ask(prompt) for prompt in PROMPTS])
        (cached,) = engine._decoder.prefixes._prefixes.values()
        engine._decoder.prefixes = PrefixCache(max_bytes=cached.bytes - 1)
        engine.generate([ask(prompt) for prompt in PROMPTS])
        assert not engine._decoder.prefixes._prefixes


@pytest.mark.long
@needs_starter
def test_the_starter_answers_the_same(tmp_path):
    adapter = make_adapter(STARTER, tmp_path, 3, init_lora_weights=True)
    requests = [ask(p, adapter if i % 2 else None) for i, p in enumerate(PROMPTS[:4])]
    with Engine(STARTER, "fp32") as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
    assert together == separate_answers(STARTER, requests)
