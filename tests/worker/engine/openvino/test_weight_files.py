"""The weights lie in files, are given back once OpenVINO has packed them, and stay as they were."""

from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_base
from tests.worker.engine.transformers_reference import PROMPTS, ask, reference_token_ids
from worker.engine.engine import Engine
from worker.engine.int8_weights import to_int8
from worker.memory import MAPPINGS

pytestmark = pytest.mark.skipif(not MAPPINGS.exists(), reason="needs Linux's /proc")


def of_files() -> list[range]:
    """Addresses of the mapped files without names."""
    lines = [line.split() for line in MAPPINGS.read_text().splitlines() if "finetune-" in line]
    return [range(*(int(end, 16) for end in line[0].split("-"))) for line in lines]


def resident_bytes(others: list[range]) -> int:
    """Of these files but the others."""
    total, is_ours, starts = 0, False, {one.start for one in others}
    for line in Path("/proc/self/smaps").read_text().splitlines():
        name, *rest = line.split()
        if not name.endswith(":"):
            is_ours = "finetune-" in line and int(name.split("-")[0], 16) not in starts
        elif is_ours and name == "Rss:":
            total += 1024 * int(rest[0])
    return total


@pytest.mark.parametrize("number_format", ["fp32", "bf16", "int8"])
def test_those_of_all_projections_are_in_files(base, number_format):
    with Engine(base, number_format) as engine:
        model, files = take_decoder(engine).loaded.model, of_files()
        linears = [one for one in model.modules() if isinstance(one, torch.nn.Linear)]
        assert len(linears) == 3 * 7 + 1
        for one in linears:
            assert any(one.weight.data_ptr() in addresses for addresses in files)


def test_they_take_no_memory_once_a_step_is_computed(base, adapters):
    others = of_files()
    with Engine(base, "fp32") as engine:
        engine.generate([ask(PROMPTS[0], adapters[0], 12)])
        assert sum(map(len, of_files())) > 300_000
        assert resident_bytes(others) < 100_000  # parts of pages


def test_nor_after_an_answer_of_the_base_model(base):
    """The probe has read them all with transformers' layers."""
    others = of_files()
    with Engine(base, "fp32") as engine:
        engine.generate([ask(PROMPTS[0], None, 12)])
        assert resident_bytes(others) < 100_000


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_weights_in_8_bits_of_a_large_model_stay_rounded(number_format, tmp_path, monkeypatch):
    """Pages of the model's own file are given back, too, and what is rounded is not in them."""
    monkeypatch.setattr("worker.engine.openvino.infer_requests.SMALL_BYTES", 1)
    base = make_base(tmp_path / "base", "llama 64 wide")
    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16}[number_format]
    AutoModelForCausalLM.from_pretrained(base, dtype=dtype).save_pretrained(base)
    monkeypatch.setattr("worker.engine.model_loader.choose_format", lambda *_: number_format)
    with Engine(base, "int8") as engine:
        engine.generate([ask(PROMPTS[0], None, 12)])
        linears = [one for one in engine.loaded.model.modules() if isinstance(one, nn.Linear)]
        for weight in (one.weight for one in linears):
            assert torch.equal(to_int8(weight).weight().to(weight.dtype), weight)


def test_the_model_answers_as_before_once_they_are_given_back(base, adapters):
    with Engine(base, "fp32") as engine:
        for adapter in (None, adapters[0], adapters[1]):  # each is checked with the model's layers
            answer = engine.generate([ask(PROMPTS[0], adapter, 12)])[0].token_ids
            assert answer == reference_token_ids(base, adapter, PROMPTS[0], 12)


def test_a_large_model_is_not_written_to_files(base, monkeypatch):
    monkeypatch.setattr("worker.engine.openvino.infer_requests.SMALL_BYTES", 1)
    before = len(of_files())
    with Engine(base, "bf16") as engine:
        assert take_decoder(engine).loaded.model
        assert len(of_files()) <= before
