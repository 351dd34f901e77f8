"""vLLM serves an adapter only if it changes the logits as PEFT does."""

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
    ("fault", "why"),
    [
        ("ignore_adapter", "as its base model"),
        ("double_scale", "otherwise"),
        ("reject_adapter", "take"),
    ],
)
def test_vllm_does_not_serve_an_adapter_that_it_applies_wrongly(vllm, base, adapters, fault, why):
    """It ignores the adapter, scales it wrongly, or does not load it."""
    with vllm(fault).open(base) as engine:
        for use_adapter in (
            lambda: engine.check_adapter(adapters[0]),
            lambda: engine.prepare([ask(adapters[0])]),
        ):
            with pytest.raises(BackendUnsupported, match=why):
                use_adapter()
        assert engine.adapter_folders == []
        engine.prepare([ask(None)])


def test_an_adapter_without_effect_is_rejected_only_where_an_effect_is_required(
    served, base, adapters, tmp_path
):
    zero = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    with pytest.raises(AdapterHasNoEffect, match="changes nothing"):
        served.check_adapter(zero)
    served.prepare(
        [ask(zero, require_effect=True)]
    )  # does not raise: the rest of the batch goes on
    rejected = served.submit(ask(zero, require_effect=True))
    unchecked, plain = served.submit(ask(zero)), served.submit(ask(None))
    with pytest.raises(AdapterHasNoEffect):
        rejected.result()
    assert unchecked.result().token_ids == plain.result().token_ids


def test_a_changed_adapter_is_checked_again(served, adapters, tmp_path):
    folder = modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b)
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(folder)
    shutil.copy(adapters[0] / "adapter_model.safetensors", folder)
    served.check_adapter(folder)


def test_broken_adapters_give_the_errors_of_our_own_engine(served, adapters, tmp_path):
    nan = modified_adapter(adapters[0], tmp_path / "nan", lambda _name, t: t * float("nan"))
    half = modified_adapter(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    (tmp_path / "empty").mkdir()
    for folder in (nan, half, tmp_path / "empty"):
        with pytest.raises(BadAdapter, match=r"damaged|no adapter"):
            served.check_adapter(folder)
        with pytest.raises(BadAdapter):
            served.submit(ask(folder, require_effect=True)).result()


def test_without_memory_for_peft_the_check_compares_with_the_base_model(
    served, vllm, base, adapters, tmp_path, monkeypatch
):
    monkeypatch.setattr(adapter_check, "_format_that_fits", lambda _base: "")
    monkeypatch.setattr(served, "_references", PeftReferences())
    served.check_adapter(make_adapter(base, tmp_path / "good", 7))
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(modified_adapter(adapters[0], tmp_path / "zero", zero_lora_b))
    faulty = vllm("ignore_adapter").open(base)
    monkeypatch.setattr(faulty, "_references", PeftReferences())
    with faulty, pytest.raises(AdapterHasNoEffect):
        faulty.check_adapter(adapters[0])


def test_a_rank_above_the_limit_is_not_supported(served, base, tmp_path):
    with pytest.raises(BackendUnsupported, match="does not take"):
        served.check_adapter(make_adapter(base, tmp_path / "big", 3, r=72))
