"""An adapter that has a model to itself is merged into a copy of its weights. In fp32 nobody can
tell; in bf16 what rounding would lose stays beside them."""

import logging
import shutil

import pytest
from safetensors.torch import load_file, save_file

from tests.worker.engine.tiny_models import make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask, plain_answer
from worker.engine import adapter_merging
from worker.engine.adapter_merging import AdapterMerger
from worker.engine.engine import Engine
from worker.engine.packed_linear import PackedLinear

LENGTH = 12
WEIGHTS = "adapter_model.safetensors"


@pytest.fixture(autouse=True)
def _soon(monkeypatch):
    monkeypatch.setattr(adapter_merging, "MERGE_AFTER_FORWARDS", 20)


def answers(engine, adapter, prompts=PROMPTS[:3]):
    """One after the other: each takes a dozen forwards."""
    return [engine.generate([ask(p, adapter, LENGTH)])[0].token_ids for p in prompts]


def wanted(base, adapter, prompts=PROMPTS[:3]):
    return [plain_answer(base, adapter, prompt, LENGTH) for prompt in prompts]


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_a_merge_changes_no_answer(kind, tmp_path):
    base = make_base(tmp_path / "base", kind)
    adapter = make_adapter(base, tmp_path / "adapter", 1)
    with Engine(base, "fp32") as engine:
        first = engine.generate([ask(PROMPTS[0], adapter, LENGTH)])[0].token_ids
        assert engine.merged_adapter is None  # an adapter that is tried once is not worth it
        assert answers(engine, adapter, PROMPTS) == wanted(base, adapter, PROMPTS)
        assert engine.merged_adapter == str(adapter)
        batch = engine.generate([ask(prompt, adapter, LENGTH) for prompt in PROMPTS])
    assert first == wanted(base, adapter)[0]
    assert [one.token_ids for one in batch] == wanted(base, adapter, PROMPTS)


def test_base_model_and_other_adapters_join_a_merged_one(base, adapters):
    with Engine(base, "fp32") as engine:
        answers(engine, adapters[0])
        assert engine.merged_adapter == str(adapters[0])
        targets = [adapters[0], None, adapters[1]]
        # Rows of different lengths: at the end the merged one is alone again, in mid-answer.
        asked = [ask(p, targets[i % 3], 20 - 5 * (i % 3)) for i, p in enumerate(PROMPTS)]
        for request, answer in zip(asked, engine.generate(asked), strict=True):
            prompt = request.messages[0]["content"]
            assert answer.token_ids == plain_answer(
                base, request.adapter, prompt, request.max_new_tokens
            )
        assert answers(engine, None) == wanted(base, None)
        assert engine.merged_adapter == str(adapters[0])


def test_another_adapter_replaces_an_unused_merge(base, adapters, monkeypatch):
    monkeypatch.setattr(adapter_merging, "REPLACE_FACTOR", 3)
    first, second = adapters
    with Engine(base, "fp32") as engine:
        answers(engine, first)
        answers(engine, second)
        assert engine.merged_adapter == str(first)  # a single answer of another is no reason
        answers(engine, first, PROMPTS[:1])
        answers(engine, second)
        assert engine.merged_adapter == str(first)
        assert answers(engine, second, PROMPTS) == wanted(base, second, PROMPTS)
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
                assert answers(engine, adapter, [prompt]) == wanted(base, adapter, [prompt])
        assert engine.merged_adapter is None


def test_a_changed_adapter_is_merged_again(base, tmp_path):
    adapter = make_adapter(base, tmp_path / "adapter", 1)
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapter) == wanted(base, adapter)
        other = make_adapter(base, tmp_path / "other", 2)
        shutil.copy(other / WEIGHTS, adapter / WEIGHTS)
        assert answers(engine, adapter) == wanted(base, other)
        assert engine.merged_adapter == str(adapter)
        assert answers(engine, adapter) == wanted(base, other)


def test_unchanged_projections_are_not_copied(base, tmp_path):
    adapter = make_adapter(base, tmp_path, 3, target_modules=["q_proj", "v_proj"])
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapter) == wanted(base, adapter)
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
        assert answers(engine, adapters[0]) == wanted(base, adapters[0])
        assert engine.merged_adapter is None
        answers(engine, adapters[0], PROMPTS)
        assert engine.merged_adapter == str(adapters[0])  # later there was


def test_an_evaluation_does_not_merge_half_way(base, adapters):
    with Engine(base, "fp32", may_merge=False) as engine:
        answers(engine, adapters[0], PROMPTS)
        assert engine.merged_adapter is None


def test_a_merge_that_runs_out_of_memory_fails_no_request(base, adapters, monkeypatch):
    def run_out(*_args):
        raise RuntimeError("not enough memory: you tried to allocate 3538944 bytes")

    monkeypatch.setattr(AdapterMerger, "_merge", run_out)
    with Engine(base, "fp32") as engine:
        assert answers(engine, adapters[0], PROMPTS) == wanted(base, adapters[0], PROMPTS)
        assert engine.merged_adapter is None


def test_an_inaccurate_merge_is_not_used(base, adapters, monkeypatch, caplog):
    monkeypatch.setattr(AdapterMerger, "_relative_error", lambda *_args: 0.1)
    with Engine(base, "fp32") as engine, caplog.at_level(logging.WARNING):
        assert answers(engine, adapters[0], PROMPTS) == wanted(base, adapters[0], PROMPTS)
        assert engine.merged_adapter is None
    assert caplog.text.count("stays unmerged: projection 0 was off by 0.1") == 1


def scaled(adapter, folder, factor, only=""):
    """A copy whose effect on layers with `only` in their name is so many times as large."""
    shutil.copytree(adapter, folder)
    tensors = load_file(folder / WEIGHTS)
    for name, tensor in tensors.items():
        if "lora_B" in name and only in name:
            tensors[name] = tensor * factor
    save_file(tensors, folder / WEIGHTS)
    return folder


def test_an_adapter_that_bf16_would_round_away_is_not_merged(base, adapters, tmp_path, caplog):
    """A change of less than half a step of a weight is lost in a merge, however often it is."""
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
