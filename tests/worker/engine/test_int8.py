"""The number format int8: linear layers rounded to 8 bits, the same numbers whatever computes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from finetune_app.core.vllm_installation import VllmInstallation
from tests.worker.engine.tiny_models import make_adapter, make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask
from worker.engine.backend_selector import BackendSelector
from worker.engine.engine import Engine
from worker.engine.int8_weights import GROUP, to_int8
from worker.engine.model_loader import load
from worker.engine.prefix_cache import common_length
from worker.engine.vllm import engine as vllm_engine


@pytest.mark.parametrize("columns", [2 * GROUP, GROUP + 1])
def test_no_weight_is_off_by_more_than_half_a_step_of_its_group(columns):
    weight = torch.randn(5, columns)
    weight[0, 3] = 40.0  # one large weight makes the steps of its own group coarse, of no other
    rounded = to_int8(weight)
    assert rounded.numbers.abs().max() == 127
    off = (rounded.weight() - weight).abs()
    steps = rounded.scales.expand_as(rounded.numbers).flatten(1)
    assert (off <= steps / 2 + 1e-6).all()
    if columns == 2 * GROUP:
        assert off[0, :GROUP].max() > 5 * off[:, GROUP:].max()


def test_zeros_stay_zeros():
    weight = torch.randn(3, 2 * GROUP)
    weight[1] = 0
    assert torch.equal(to_int8(weight).weight()[1], torch.zeros(2 * GROUP))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_rounding_once_more_changes_nothing(dtype):
    """The graph rounds what is kept in one of these: OpenVINO computes the same model with both."""
    once = to_int8(torch.randn(640, 96))
    again = to_int8(once.weight().to(dtype))
    assert torch.equal(again.numbers, once.numbers)
    assert torch.equal(again.scales, once.scales)


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma2"])
def test_each_linear_layer_is_rounded_and_nothing_else(kind, tmp_path):
    base = make_base(tmp_path, kind)
    rounded = load(base, "int8")
    plain = load(base, {torch.bfloat16: "bf16", torch.float32: "fp32"}[rounded.dtype]).model
    layers = 0
    for name, module in plain.named_modules():
        ours = rounded.model.get_submodule(name)
        if isinstance(module, torch.nn.Linear):
            layers += 1
            expected = to_int8(module.weight).weight().to(ours.weight.dtype)
            assert torch.equal(ours.weight, expected)
            assert not torch.equal(ours.weight, module.weight)
        elif "norm" in name:
            assert torch.equal(ours.weight, module.weight)
    assert layers >= 8


def logprobs_of_an_answer(engine: Engine) -> torch.Tensor:
    answer = engine.generate([replace(ask(PROMPTS[1], None, 12), top_logprobs=1)])[0]
    assert answer.logprobs
    return torch.tensor([one["logprob"] for one in answer.logprobs])


def test_whatever_computes_it_is_the_same_model(base, monkeypatch):
    found = []
    for setting, number_format in (("on", "int8"), ("off", "int8"), ("off", "fp32")):
        monkeypatch.setenv("OPENVINO", setting)
        with Engine(base, number_format) as engine:
            assert engine.uses_fast_forward
            assert engine.number_format == number_format
            found.append(logprobs_of_an_answer(engine))
    openvino, torch_alone, unrounded = found
    assert (openvino - torch_alone).abs().max() < 0.2
    assert not torch.equal(torch_alone, unrounded)


def test_an_adapter_is_applied_to_its_own_answers_only(base, tmp_path, computed_by):
    adapters = [make_adapter(base, tmp_path / str(seed), seed) for seed in (1, 2)]
    asked = [ask(PROMPTS[0], one, 12) for one in (None, *adapters)]
    with Engine(base, "int8") as engine:
        engine.check_adapter(adapters[0])
        alone = [engine.generate([one])[0].token_ids for one in asked]
        together = [one.token_ids for one in engine.generate(asked)]
    assert len({tuple(one) for one in alone}) == 3
    # In 8 bits a random model may turn to another token half-way, beside others (parity.md).
    alike = [[common_length(one, other) for other in alone] for one in together]
    assert [row.index(max(row)) for row in alike] == [0, 1, 2]


def test_vllm_leaves_it_to_our_own_engine(base, tmp_path, monkeypatch):
    class Served:
        kind = "vllm"

        def __init__(self, folder, number_format, **options) -> None:
            self.number_format = number_format

    monkeypatch.setattr(vllm_engine, "VllmEngine", Served)
    selector = BackendSelector(VllmInstallation(Path("/opt/vllm")), tmp_path / "vllm.log")
    with selector.open(base, "int8") as ours:
        assert (ours.kind, ours.number_format) == ("own", "int8")
    assert "8 bits" in selector.why_not_vllm(base, "int8")
    assert selector.open(base, "auto").kind == "vllm"
