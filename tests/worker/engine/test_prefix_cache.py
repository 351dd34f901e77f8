"""Instructions that many prompts begin with are read once, and no answer changes by it."""

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
    told = {"role": "system", "content": INSTRUCTIONS}
    return GenerationRequest(
        [told, {"role": "user", "content": prompt}], adapter, max_new_tokens=length
    )


def alone(base, requests) -> list[list[int]]:
    """Each by an engine that has nothing to share yet."""
    answers = []
    for request in requests:
        with Engine(base, "fp32") as engine:
            answers.append(engine.generate([request])[0].token_ids)
    return answers


def count_tokens_read(engine: Engine, monkeypatch) -> list[int]:
    """How many tokens each forward is given, from now on."""
    decoder, read = engine._decoder, []
    forward = decoder._forward

    def counting(ids, *rest):
        read.append(ids.numel())
        return forward(ids, *rest)

    monkeypatch.setattr(decoder, "_forward", counting)
    return read


@pytest.mark.parametrize("kind", FAST)
def test_a_shared_prefix_changes_no_answer(kind, tmp_path):
    base = make_base(tmp_path / "base", kind)
    targets = [None, *(make_adapter(base, tmp_path / f"a{seed}", seed) for seed in (1, 2))]
    requests = [ask(p, targets[i % 3], 8 + 5 * (i % 4)) for i, p in enumerate(PROMPTS)]
    with Engine(base, "fp32", max_sequences=5) as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
        again = [answer.token_ids for answer in engine.generate(requests)]
    assert together == again == alone(base, requests)


def test_a_shared_prefix_is_computed_once(base, monkeypatch):
    with Engine(base, "fp32") as engine:
        read = count_tokens_read(engine, monkeypatch)
        first, second, third = (ask(prompt, length=2) for prompt in PROMPTS[:3])
        engine.generate([first])
        whole = max(read)
        engine.generate([second])  # now the beginning is known to be shared, and is kept
        read.clear()
        engine.generate([third])
    assert whole > MIN_PREFIX_TOKENS
    assert max(read) < whole // 4


def test_a_changed_adapter_does_not_reuse_cached_prefixes(base, tmp_path):
    old = make_adapter(base, tmp_path / "a", 1)
    new = make_adapter(base, tmp_path / "b", 2)
    with Engine(base, "fp32") as engine:
        before = engine.generate([ask(prompt, old) for prompt in PROMPTS])
        shutil.rmtree(old)
        shutil.copytree(new, old)
        after = engine.generate([ask(prompt, old) for prompt in PROMPTS])
    wanted = alone(base, [ask(prompt, new) for prompt in PROMPTS])
    assert [answer.token_ids for answer in after] == wanted
    assert [answer.token_ids for answer in before] != wanted


def test_the_prefix_cache_is_bounded(base, monkeypatch):
    with Engine(base, "fp32") as engine:
        engine.generate([ask(prompt) for prompt in PROMPTS])
        (kept,) = engine._decoder.prefixes._prefixes.values()
        engine._decoder.prefixes = PrefixCache(max_bytes=kept.bytes - 1)
        engine.generate([ask(prompt) for prompt in PROMPTS])
        assert not engine._decoder.prefixes._prefixes


@pytest.mark.long
@needs_starter
def test_the_starter_answers_the_same(tmp_path):
    adapter = make_adapter(STARTER, tmp_path, 3, init_lora_weights=True)
    requests = [ask(p, adapter if i % 2 else None) for i, p in enumerate(PROMPTS[:4])]
    with Engine(STARTER, "fp32") as engine:
        together = [answer.token_ids for answer in engine.generate(requests)]
    assert together == alone(STARTER, requests)
