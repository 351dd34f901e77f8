"""Adapters without effect and damaged adapters are rejected."""

import shutil

import pytest

from tests.worker.engine.adapter_files import modified_adapter, zero_lora_b
from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.engine.adapter_check import AdapterHasNoEffect
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest


def ask(adapter, **more) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": "Hi"}], adapter, max_new_tokens=8, **more)


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_an_adapter_without_effect_is_rejected(base, adapters, tmp_path, number_format):
    zero = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    faint = modified_adapter(
        adapters[0], tmp_path / "faint", lambda name, t: t * 1e-9 if "lora_B" in name else t
    )
    weak = modified_adapter(
        adapters[0], tmp_path / "weak", lambda name, t: t * 0.05 if "lora_B" in name else t
    )
    with Engine(base, number_format) as engine:
        engine.check_adapter(adapters[0])
        engine.check_adapter(weak)
        for adapter in (zero, faint):
            with pytest.raises(AdapterHasNoEffect, match="changes nothing"):
                engine.check_adapter(adapter)


def test_an_adapter_of_a_recurrent_model_is_checked(tmp_path):
    mamba = make_base(tmp_path / "base", "mamba")
    adapter = make_adapter(mamba, tmp_path / "adapter", 1, target_modules=["in_proj"])
    zero = modified_adapter(adapter, tmp_path / "zero", zero_lora_b)
    with Engine(mamba, "fp32") as engine:
        engine.check_adapter(adapter)
        with pytest.raises(AdapterHasNoEffect):
            engine.check_adapter(zero)


def test_an_adapter_with_nan_is_damaged(engine, adapters, tmp_path):
    broken = modified_adapter(adapters[0], tmp_path / "nan", lambda _name, t: t * float("nan"))
    with pytest.raises(AdapterHasNoEffect, match="damaged"):
        engine.check_adapter(broken)


def test_truncated_and_incomplete_adapters_are_damaged(engine, adapters, tmp_path):
    short = modified_adapter(adapters[0], tmp_path / "short", lambda _name, t: t)
    weights = short / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    half = modified_adapter(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    for adapter in (short, half):
        with pytest.raises(BadAdapter, match="damaged"):
            engine.check_adapter(adapter)


def test_only_requests_that_require_an_effect_are_rejected(engine, adapters, tmp_path):
    zero = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    rejected = engine.submit(ask(zero, require_effect=True))
    unchecked, checked = (
        engine.submit(ask(zero)),
        engine.submit(ask(adapters[0], require_effect=True)),
    )
    with pytest.raises(AdapterHasNoEffect):
        rejected.result()
    assert unchecked.result().token_ids == engine.generate([ask(None)])[0].token_ids
    assert checked.result().token_ids == engine.generate([ask(adapters[0])])[0].token_ids


def test_a_changed_adapter_is_checked_again(engine, adapters, tmp_path):
    folder = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    with pytest.raises(AdapterHasNoEffect):
        engine.check_adapter(folder)
    shutil.copy(adapters[0] / "adapter_model.safetensors", folder)
    engine.check_adapter(folder)
