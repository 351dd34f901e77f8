"""An adapter is served only where vLLM changes with it what PEFT changes with it."""

import shutil

import pytest

from tests.worker.engine.test_proof import changed, zero
from tests.worker.engine.tiny import make_adapter
from tests.worker.engine.vllm.test_answers import ask
from worker.engine.adapters import BadAdapter
from worker.engine.serving import Unfit
from worker.engine.vllm import proof
from worker.engine.vllm.proof import References
from worker.engine.vllm.shelf import NoEffect


def test_one_that_works_is_proved_after_each_load(served, adapters):
    served.prove(adapters[0])
    assert str(adapters[0]) in served.held


@pytest.mark.parametrize(
    ("fault", "why"), [("base", "as its base model"), ("twice", "otherwise"), ("refuse", "take")]
)
def test_where_vllm_is_to_blame_it_does_not_serve(vllm, base, adapters, fault, why):
    """It loads an adapter and speaks as the base, or as nobody; or it does not load it."""
    with vllm(fault).open(base) as engine:
        for wish in (lambda: engine.prove(adapters[0]), lambda: engine.prepare([ask(adapters[0])])):
            with pytest.raises(Unfit, match=why):
                wish()
        assert engine.held == []
        engine.prepare([ask(None)])


def test_an_adapter_that_does_nothing_is_told_to_whoever_minds(served, base, adapters, tmp_path):
    nothing = changed(adapters[0], tmp_path / "zero", zero)
    with pytest.raises(NoEffect, match="changes nothing"):
        served.prove(nothing)
    served.prepare([ask(nothing, must_differ=True)])  # the others of its batch are not kept waiting
    refused = served.submit(ask(nothing, must_differ=True))
    free, plain = served.submit(ask(nothing)), served.submit(ask(None))
    with pytest.raises(NoEffect):
        refused.result()
    assert free.result().token_ids == plain.result().token_ids


def test_it_is_looked_at_again_once_its_file_is_another(served, adapters, tmp_path):
    folder = changed(adapters[0], tmp_path / "zero", zero)
    with pytest.raises(NoEffect):
        served.prove(folder)
    shutil.copy(adapters[0] / "adapter_model.safetensors", folder)
    served.prove(folder)


def test_what_is_broken_is_told_in_the_words_of_our_own_engine(served, adapters, tmp_path):
    numbers = changed(adapters[0], tmp_path / "nan", lambda _name, t: t * float("nan"))
    half = changed(
        adapters[0], tmp_path / "half", lambda name, t: None if name.endswith("A.weight") else t
    )
    (tmp_path / "empty").mkdir()
    for folder in (numbers, half, tmp_path / "empty"):
        with pytest.raises(BadAdapter, match=r"damaged|no adapter"):
            served.prove(folder)
        with pytest.raises(BadAdapter):
            served.submit(ask(folder, must_differ=True)).result()


def test_without_memory_for_peft_it_is_held_against_the_base(
    served, vllm, base, adapters, tmp_path, monkeypatch
):
    monkeypatch.setattr(proof, "_format_that_fits", lambda _base: "")
    monkeypatch.setattr(served, "_references", References())
    served.prove(make_adapter(base, tmp_path / "good", 7))
    with pytest.raises(NoEffect):
        served.prove(changed(adapters[0], tmp_path / "zero", zero))
    lazy = vllm("base").open(base)
    monkeypatch.setattr(lazy, "_references", References())
    with lazy, pytest.raises(NoEffect):
        lazy.prove(adapters[0])


def test_a_rank_that_vllm_was_not_started_for(served, base, tmp_path):
    with pytest.raises(Unfit, match="does not take"):
        served.prove(make_adapter(base, tmp_path / "big", 3, r=72))
