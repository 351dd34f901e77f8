"""The number format nf4: bf16, the linear layers rounded as they were while QLoRA trained."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from finetune_app.core.vllm_installation import VllmInstallation
from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.channel import UserError
from worker.engine.backend_selector import BackendSelector
from worker.engine.engine import Engine
from worker.engine.model_loader import load
from worker.engine.requests import GenerationRequest
from worker.engine.vllm import engine as vllm_engine
from worker.quantisation import keep_trainable, quantised_loading

bitsandbytes = pytest.importorskip("bitsandbytes")


def as_trained(base):
    """The base model as QLoRA trains beside it."""
    options = quantised_loading(torch.bfloat16)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16, **options)
    keep_trainable(model)
    return model


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gpt_neox"])
def test_each_linear_layer_computes_as_bitsandbytes_does(kind, tmp_path):
    base = make_base(tmp_path, kind)
    rounded, trained = load(base, "nf4").model, as_trained(base)
    plain = load(base, "bf16").model
    layers = [
        (name, layer)
        for name, layer in trained.named_modules()
        if isinstance(layer, bitsandbytes.nn.Linear4bit)
    ]
    assert len(layers) >= 8
    for name, layer in layers:
        x = torch.randn(5, layer.in_features, dtype=torch.bfloat16)
        ours = rounded.get_submodule(name)
        assert type(ours) is torch.nn.Linear
        assert torch.allclose(ours(x), layer(x), rtol=0.02, atol=0.02)
        assert not torch.allclose(plain.get_submodule(name)(x), layer(x), rtol=0.02, atol=0.02)


def test_embedding_and_head_stay_as_they_are(base):
    rounded, plain = load(base, "nf4").model, load(base, "bf16").model
    for one, other in (
        (rounded.get_input_embeddings(), plain.get_input_embeddings()),
        (rounded.get_output_embeddings(), plain.get_output_embeddings()),
    ):
        assert torch.equal(one.weight, other.weight)


def test_the_engine_answers_by_its_fast_way_and_applies_adapters(base, tmp_path):
    adapter = make_adapter(base, tmp_path, 1)
    asked = [{"role": "user", "content": "Where is my order?"}]
    with Engine(base, "nf4") as engine:
        assert engine.number_format == "nf4"
        assert engine.uses_fast_forward
        engine.check_adapter(adapter)
        plain, tuned = engine.generate(
            [GenerationRequest(asked, one, max_new_tokens=12) for one in (None, adapter)]
        )
        ids = torch.tensor([[5, 9, 20, 31, 7]])
        found = engine.logits(ids).float()
    assert plain.text != tuned.text
    with torch.no_grad():
        expected = as_trained(base)(ids).logits.float()
    assert (found - expected).std() < 0.05 * expected.std()


def test_without_bitsandbytes_the_error_says_what_to_do(base, monkeypatch):
    monkeypatch.setattr("worker.quantisation.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install '\.\[qlora\]'"):
        Engine(base, "nf4")


def test_vllm_goes_on_serving_the_base_model_as_it_is(base, tmp_path, monkeypatch):
    class Served:
        kind = "vllm"

        def __init__(self, folder, number_format, **options) -> None:
            self.number_format = number_format

    monkeypatch.setattr(vllm_engine, "VllmEngine", Served)
    selector = BackendSelector(VllmInstallation(Path("/opt/vllm")), tmp_path / "vllm.log")
    with selector.open(base, "nf4") as ours:
        assert (ours.kind, ours.number_format) == ("own", "nf4")
    assert "vLLM" in selector.why_not_vllm(base, "nf4")
    assert selector.open(base, "auto").kind == "vllm"
    assert selector.why_not_vllm(base, "bf16") == ""
