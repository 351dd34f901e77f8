"""An adapter is served only where vLLM changes with it what PEFT changes with it."""

import shutil

import pytest

from tests.worker.engine.adapter_files import modified_adapter, zero_lora_b
from tests.worker.engine.tiny_models import make_adapter
from tests.worker.engine.vllm.vllm_requests import ask
from worker.engine.adapter_check import AdapterHasNoEffect
from worker.engine.adapters import BadAdapter
from worker.engine.backend import BackendUnsupported
from worker.engine.vllm import adapter_check
from worker.engine.vllm.adapter_check import PeftReferences


def test_an_adapter_is_checked_after_each_load(served, adapters):
    served.check_adapter(adapters[0])
    assert str(adapters[0]) in served.adapter_folders


@pytest.mark.parametrize(
    ("fault", "why"), [("base", "as its base model"), ("twice", "otherwise"), ("refuse", "take")]
)
def test_vllm_does_not_serve_an_adapter_that_it_gets_wrong(vllm, base, adapters, fault, why):
    """It loads an adapter and speaks as the base, or as nobody; or it does not load it."""
    with vllm(fault).open(base) as engine:
        for wish in (
            lambda: engine.check_adapter(adapters[0]),
            lambda: engine.prepare([ask(adapters[0])]),
        ):
            with pytest.raises(BackendUnsupported, match=why):
                wish()
        assert engine.adapter_folders == []
        engine.prepare([ask(None)])


def test_an_adapter_without_effect_is_rejected_only_where_an_effect_is_required(
    served, base, adapters, tmp_path
):
    nothing = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    with pytest.raises(AdapterHasNoEffect, match="changes nothing"):
        served.check_adapter(nothing)
    served.prepare(
        [ask(nothing, require_effect=True)]
    )  # the others of its batch are not kept waiting
    refused = served.submit(ask(nothing, require_effect=True))
    free, plain = served.submit(ask(nothing)), served.submit(ask(None))
    with pytest.raises(AdapterHasNoEffect):
        refused.result()
    assert free.result().token_ids == plain.result().token_ids


def test_a_changed_adapter_is_checked_again(served, adapters, tmp_path):
    folder = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(folder)
    shutil.copy(adapters[0] / "adapter_model.safetensors", folder)
    served.check_adapter(folder)


def test_broken_adapters_give_the_errors_of_our_own_engine(served, adapters, tmp_path):
    numbers = modified_adapter(adapters[0], tmp_path / "nan", lambda _name, t: t * float("nan"))
    half = modified_adapter(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    (tmp_path / "empty").mkdir()
    for folder in (numbers, half, tmp_path / "empty"):
        with pytest.raises(BadAdapter, match=r"damaged|no adapter"):
            served.check_adapter(folder)
        with pytest.raises(BadAdapter):
            served.submit(ask(folder, require_effect=True)).result()


def test_without_memory_for_peft_the_base_model_is_the_reference(
    served, vllm, base, adapters, tmp_path, monkeypatch
):
    monkeypatch.setattr(adapter_check, "_format_that_fits", lambda _base: "")
    monkeypatch.setattr(served, "_references", PeftReferences())
    served.check_adapter(make_adapter(base, tmp_path / "good", 7))
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b))
    lazy = vllm("base").open(base)
    monkeypatch.setattr(lazy, "_references", PeftReferences())
    with lazy, pytest.raises(AdapterHasNoEffect):
        lazy.check_adapter(adapters[0])


def test_a_rank_above_the_limit_is_not_supported(served, base, tmp_path):
    with pytest.raises(BackendUnsupported, match="does not take"):
        served.check_adapter(make_adapter(base, tmp_path / "big", 3, r=72))
