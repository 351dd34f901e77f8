"""An adapter is served only where vLLM changes with it what PEFT changes with it."""

import shutil

import pytest

from tests.worker.engine.test_adapter_check import changed, zero
from tests.worker.engine.tiny_models import make_adapter
from tests.worker.engine.vllm.test_generate import ask
from worker.engine.adapter_check import AdapterHasNoEffect
from worker.engine.adapters import BadAdapter
from worker.engine.backend import BackendUnsupported
from worker.engine.vllm import adapter_check
from worker.engine.vllm.adapter_check import PeftReferences


def test_one_that_works_is_proved_after_each_load(served, adapters):
    served.check_adapter(adapters[0])
    assert str(adapters[0]) in served.adapter_folders


@pytest.mark.parametrize(
    ("fault", "why"), [("base", "as its base model"), ("twice", "otherwise"), ("refuse", "take")]
)
def test_where_vllm_is_to_blame_it_does_not_serve(vllm, base, adapters, fault, why):
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


def test_an_adapter_that_does_nothing_is_told_to_whoever_minds(served, base, adapters, tmp_path):
    nothing = changed(adapters[0], tmp_path / "zero", zero)
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


def test_it_is_looked_at_again_once_its_file_is_another(served, adapters, tmp_path):
    folder = changed(adapters[0], tmp_path / "zero", zero)
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(folder)
    shutil.copy(adapters[0] / "adapter_model.safetensors", folder)
    served.check_adapter(folder)


def test_what_is_broken_is_told_in_the_words_of_our_own_engine(served, adapters, tmp_path):
    numbers = changed(adapters[0], tmp_path / "nan", lambda _name, t: t * float("nan"))
    half = changed(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    (tmp_path / "empty").mkdir()
    for folder in (numbers, half, tmp_path / "empty"):
        with pytest.raises(BadAdapter, match=r"damaged|no adapter"):
            served.check_adapter(folder)
        with pytest.raises(BadAdapter):
            served.submit(ask(folder, require_effect=True)).result()


def test_without_memory_for_peft_it_is_held_against_the_base(
    served, vllm, base, adapters, tmp_path, monkeypatch
):
    monkeypatch.setattr(adapter_check, "_format_that_fits", lambda _base: "")
    monkeypatch.setattr(served, "_references", PeftReferences())
    served.check_adapter(make_adapter(base, tmp_path / "good", 7))
    with pytest.raises(AdapterHasNoEffect):
        served.check_adapter(changed(adapters[0], tmp_path / "zero", zero))
    lazy = vllm("base").open(base)
    monkeypatch.setattr(lazy, "_references", PeftReferences())
    with lazy, pytest.raises(AdapterHasNoEffect):
        lazy.check_adapter(adapters[0])


def test_a_rank_that_vllm_was_not_started_for(served, base, tmp_path):
    with pytest.raises(BackendUnsupported, match="does not take"):
        served.check_adapter(make_adapter(base, tmp_path / "big", 3, r=72))
