"""An adapter that is used alone is merged into a copy of the weights. In fp32 no answer changes; in
bf16 projections that rounding would change too much stay unmerged."""

import logging
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.worker.engine.tiny_models import make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from worker.engine import adapter_merging
from worker.engine.adapter_merging import AdapterMerger
from worker.engine.engine import Engine
from worker.engine.packed_linear import PackedLinear

LENGTH = 12
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(autouse=True)
def _merge_early(monkeypatch):
    monkeypatch.setenv("OPENVINO", "off")  # which merges nothing
    monkeypatch.setattr(adapter_merging, "MERGE_AFTER_FORWARDS", 20)


def answers(engine, adapter, prompts=PROMPTS[:3]):
    """One after the other, a dozen forward passes each."""
    return [engine.generate([ask(p, adapter, LENGTH)])[0].token_ids for p in prompts]


def expected(base, adapter, prompts=PROMPTS[:3]):
    return [reference_token_ids(base, adapter, prompt, LENGTH) for prompt in prompts]


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_merge_changes_no_answer(kind, tmp_path):
    base = make_base(tmp_path / "base", kind)
    adapter = make_adapter(base, tmp_path / "adapter", 1)
    with Engine(base, "fp32") as engine:
        first = engine.generate([ask(PROMPTS[0], adapter, LENGTH)])[0].token_ids
        assert engine.merged_adapter is None  # not after a single answer
        assert answers(engine, adapter, PROMPTS) == expected(base, adapter, PROMPTS)
        assert engine.merged_adapter == str(adapter)
        batch = engine.generate([ask(prompt, adapter, LENGTH) for prompt in PROMPTS])
    assert first == expected(base, adapter)[0]
    assert [one.token_ids for one in batch] == expected(base, adapter, PROMPTS)


def test_a_batch_may_mix_the_merged_adapter_with_others(base, adapters):
    with Engine(base, "fp32") as engine:
        answers(engine, adapters[0])
        assert engine.merged_adapter == str(adapters[0])
        request_adapters = [adapters[0], None, adapters[1]]
        # Of different lengths: at the end the merged adapter is alone again, during its answer.
        requests = [
            ask(p, request_adapters[i % 3], 20 - 5 * (i % 3)) for i, p in enumerate(PROMPTS)
        ]
        for request, answer in zip(requests, engine.generate(requests), strict=True):
            prompt = request.messages[0]["content"]
            assert answer.token_ids == reference_token_ids(
                base, request.adapter, prompt, request.max_new_tokens
            )
        assert answers(engine, None) == expected(base, None)
        assert engine.merged_adapter == str(adapters[0])


def test_another_adapter_replaces_an_unused_merge(base, adapters, monkeypatch):
    monkeypatch.setattr(adapter_merging, "REPLACE_FACTOR", 3)
    first, second = adapters
    with Engine(base, "fp32") as engine:
        answers(engine, first)
        answers(engine, second)
        assert engine.merged_adapter == str(first)  # one answer with another does not replace it
        answers(engine, first, PROMPTS[:1])
        answers(engine, second)
        assert engine.merged_adapter == str(first)
        assert answers(engine, second, PROMPTS) == expected(base, second, PROMPTS)
        assert engine.merged_adapter == str(second)


def test_a_merge_is_dropped_with_its_adapter(base, adapters):
    with Engine(base, "fp32", adapters_kept=1) as engine:
        answers(engine, adapters[0])
        assert engine.merged_adapter == str(adapters[0])
        answers(engine, adapters[1], PROMPTS[:1])
        assert engine.adapter_folders == [str(adapters[1])]
        assert engine.merged_adapter is None


def test_alternating_adapters_are_not_merged(base, adapters):
    with Engine(base, "fp32") as engine:
        for prompt in PROMPTS:
            for adapter in adapters:
                assert answers(engine, adapter, [prompt]) == expected(base, adapter, [prompt])
        assert engine.merged_adapter is None


def test_a_changed_adapter_is_merged_again(base, tmp_path):
    adapter = make_adapter(base, tmp_path / "adapter", 1)
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapter) == expected(base, adapter)
        other = make_adapter(base, tmp_path / "other", 2)
        shutil.copy(other / WEIGHTS, adapter / WEIGHTS)
        assert answers(engine, adapter) == expected(base, other)
        assert engine.merged_adapter == str(adapter)
        assert answers(engine, adapter) == expected(base, other)


def test_unchanged_projections_are_not_copied(base, tmp_path):
    adapter = make_adapter(base, tmp_path, 3, target_modules=["q_proj", "v_proj"])
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapter) == expected(base, adapter)
        projections = engine._decoder._forward.projections
        merged = projections.merger.next_forward([str(adapter)])
    same = [one is other for one, other in zip(merged, projections._linears, strict=True)]
    assert same == [number % 4 != 0 or number == 12 for number in range(13)]


def test_without_free_memory_nothing_is_merged(base, adapters, monkeypatch):
    monkeypatch.setattr("worker.engine.projections.fits_second_copy", lambda weights: False)
    free = iter([False, True])
    monkeypatch.setattr(
        "worker.engine.adapter_merging.fits_second_copy", lambda weights: next(free)
    )
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapters[0]) == expected(base, adapters[0])
        assert engine.merged_adapter is None
        answers(engine, adapters[0], PROMPTS)
        assert engine.merged_adapter == str(adapters[0])  # later enough was free


def test_an_engine_that_may_not_merge_does_not(base, adapters):
    with Engine(base, "fp32", may_merge=False) as engine:
        answers(engine, adapters[0], PROMPTS)
        assert engine.merged_adapter is None


def test_a_merge_that_runs_out_of_memory_fails_no_request(base, adapters, monkeypatch):
    def run_out(*_args):
        raise RuntimeError("not enough memory: you tried to allocate 3538944 bytes")

    monkeypatch.setattr(AdapterMerger, "_merge", run_out)
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapters[0], PROMPTS) == expected(base, adapters[0], PROMPTS)
        assert engine.merged_adapter is None


def test_an_inaccurate_merge_is_not_used(base, adapters, monkeypatch, caplog):
    monkeypatch.setattr(AdapterMerger, "_relative_error", lambda *_args: 0.1)
    with Engine(base, "fp32") as engine, caplog.at_level(logging.WARNING):
        assert answers(engine, adapters[0], PROMPTS) == expected(base, adapters[0], PROMPTS)
        assert engine.merged_adapter is None
    assert caplog.text.count("stays unmerged: projection 0 was off by 0.1") == 1


def scaled(adapter, folder, factor, only=""):
    """A copy whose change to layers with `only` in their name is multiplied by `factor`."""
    shutil.copytree(adapter, folder)
    tensors = load_file(folder / WEIGHTS)
    for name, tensor in tensors.items():
        if "lora_B" in name and only in name:
            tensors[name] = tensor * factor
    save_file(tensors, folder / WEIGHTS)
    return folder


def test_an_adapter_that_bf16_would_round_away_is_not_merged(base, adapters, tmp_path, caplog):
    """A change by less than half a unit in the last place would be lost."""
    weak = scaled(adapters[0], tmp_path / "weak", 1e-3)
    with Engine(base, "bf16") as engine, caplog.at_level(logging.WARNING):
        answers(engine, weak, PROMPTS)
        assert engine.merged_adapter is None
    assert "rounding would lose too much of it" in caplog.text


def test_weak_projections_stay_unmerged(base, adapters, tmp_path):
    partly = scaled(adapters[0], tmp_path / "partly", 1e-3, only="o_proj")
    with Engine(base, "bf16") as engine:
        answers(engine, partly, PROMPTS)
        assert engine.merged_adapter == str(partly)
        merged = engine._decoder._forward.projections.merger.next_forward([str(partly)])
    kinds = [isinstance(one, PackedLinear) for one in merged]
    assert kinds == [number % 4 != 1 for number in range(12)] + [True]


def test_adapters_are_merged_in_bf16(base, adapters):
    with Engine(base, "bf16") as engine:
        answers(engine, adapters[0], PROMPTS)
        assert engine.merged_adapter == str(adapters[0])
