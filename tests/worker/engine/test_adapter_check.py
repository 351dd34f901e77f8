"""An adapter that changes nothing, or is damaged, is told from one that works."""

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.engine.adapter_check import AdapterHasNoEffect
from worker.engine.adapters import BadAdapter
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest


def changed(adapter, folder, change):
    """A copy whose tensors went through `change(name, tensor)`; None leaves one out."""
    shutil.copytree(adapter, folder)
    weights = folder / "adapter_model.safetensors"
    made = {name: change(name, tensor) for name, tensor in load_file(weights).items()}
    save_file({name: t.contiguous() for name, t in made.items() if t is not None}, weights)
    return folder


def zero(name: str, tensor: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(tensor) if "lora_B" in name else tensor


def ask(adapter, **more) -> GenerationRequest:
    return GenerationRequest([{"role": "user", "content": "Hi"}], adapter, max_new_tokens=8, **more)


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_a_good_one_is_and_one_that_does_nothing_is_not(base, adapters, tmp_path, number_format):
    nothing = changed(adapters[0], tmp_path / "zero", zero)
    faint = changed(
        adapters[0], tmp_path / "faint", lambda name, t: t * 1e-9 if "lora_B" in name else t
    )
    weak = changed(
        adapters[0], tmp_path / "weak", lambda name, t: t * 0.05 if "lora_B" in name else t
    )
    with Engine(base, number_format) as engine:
        engine.check_adapter(adapters[0])
        engine.check_adapter(weak)
        for adapter in (nothing, faint):
            with pytest.raises(AdapterHasNoEffect, match="changes nothing"):
                engine.check_adapter(adapter)


def test_a_model_with_a_running_state_is_proved_too(tmp_path):
    mamba = make_base(tmp_path / "base", "mamba")
    adapter = make_adapter(mamba, tmp_path / "adapter", 1, target_modules=["in_proj"])
    nothing = changed(adapter, tmp_path / "zero", zero)
    with Engine(mamba, "fp32") as engine:
        engine.check_adapter(adapter)
        with pytest.raises(AdapterHasNoEffect):
            engine.check_adapter(nothing)


def test_numbers_that_are_none_are_damage(engine, adapters, tmp_path):
    broken = changed(adapters[0], tmp_path / "nan", lambda _name, t: t * float("nan"))
    with pytest.raises(AdapterHasNoEffect, match="damaged"):
        engine.check_adapter(broken)


def test_a_file_that_breaks_off_and_one_with_half_a_layer_are_damage(engine, adapters, tmp_path):
    short = changed(adapters[0], tmp_path / "short", lambda _name, t: t)
    weights = short / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    half = changed(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    for adapter in (short, half):
        with pytest.raises(BadAdapter, match="damaged"):
            engine.check_adapter(adapter)


def test_only_who_asks_for_it_is_refused_and_the_others_go_on(engine, adapters, tmp_path):
    nothing = changed(adapters[0], tmp_path / "zero", zero)
    refused = engine.submit(ask(nothing, require_effect=True))
    free, good = engine.submit(ask(nothing)), engine.submit(ask(adapters[0], require_effect=True))
    with pytest.raises(AdapterHasNoEffect):
        refused.result()
    assert free.result().token_ids == engine.generate([ask(None)])[0].token_ids
    assert good.result().token_ids == engine.generate([ask(adapters[0])])[0].token_ids


def test_it_is_looked_at_again_once_its_file_is_another(engine, adapters, tmp_path):
    folder = changed(adapters[0], tmp_path / "zero", zero)
    with pytest.raises(AdapterHasNoEffect):
        engine.check_adapter(folder)
    shutil.copy(adapters[0] / "adapter_model.safetensors", folder)
    engine.check_adapter(folder)
