"""`make gpu`: without a card it says so; with --dry-run each row works on a processor."""

import json
import subprocess

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from benchmarks import gpu
from tests.worker.engine.tiny_models import make_base
from tests.worker.engine.vllm.conftest import FakeVllm
from worker.training import model_loader
from worker.training.spec import TUNINGS


def table(printed: str) -> dict[str, list[str]]:
    """The cells of each row after the model, by way."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]
    return {cells[1]: cells[2:] for cells in rows}


def test_without_a_card_it_says_so(monkeypatch, capsys):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    gpu.main([])
    assert capsys.readouterr().out == "not run: no CUDA card here\n"


def test_every_row_works_on_a_processor(base_model, monkeypatch, capsys):
    monkeypatch.setenv("VLLM", "off")
    gpu.main([str(base_model()), "--dry-run"])
    rows = table(capsys.readouterr().out)
    trained = ["LoRA, bf16", "QLoRA", "DPO"] + ["full fine-tuning"] * ("full" in TUNINGS)
    for way in trained:
        speed, peak, plan, note = rows[way]
        assert float(speed.replace(",", "")) > 0, way
        assert float(peak) > 0
        assert plan
        assert not note
    speed, peak, plan, note = rows["TRL, LoRA"]
    assert float(speed.replace(",", "")) > 0
    assert (plan, note) == ("", "sdpa")
    assert rows["Unsloth, LoRA"][-1] == "not run: Unsloth is not installed"
    assert "switched off" in rows["adapter in vLLM"][-1]
    assert "switched off" in rows["LoRA while vLLM serves"][-1]
    assert len(rows) == len(gpu.WAYS)


@pytest.mark.long  # PEFT computes its reference in a process of its own
def test_vllm_has_to_apply_the_adapter(monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("VLLM", str(FakeVllm(tmp_path, "").program))
    base = make_base(tmp_path / "base", "llama")
    gpu.main([str(base), "--dry-run", "--only", "vllm", "both"])
    rows = table(capsys.readouterr().out)
    assert rows["adapter in vLLM"][-1] == "vLLM applies the adapter as PEFT does"
    assert "vLLM wrote" in rows["LoRA while vLLM serves"][-1]


def test_a_row_that_fails_says_why(base_model, monkeypatch):
    def fail(command, **options):
        return subprocess.CompletedProcess(command, 1, "", "Traceback\nOutOfMemoryError: 80 GB")

    monkeypatch.setattr(subprocess, "run", fail)
    found = gpu.in_own_process(gpu.Setup("lora", str(base_model())))
    assert found.note == "failed: OutOfMemoryError: 80 GB"


def test_installed_models_are_found(tmp_path, monkeypatch):
    monkeypatch.setattr(gpu, "DATA_DIR", tmp_path)
    for name, kind in (("one", "LlamaForCausalLM"), ("embedder", "BertModel")):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"architectures": [kind]}))
    assert [folder.name for folder in gpu.installed()] == ["one"]


def test_random_weights_in_two_shapes_stand_beside_them(tmp_path, monkeypatch):
    made = []

    def make(case, folder, device):
        with torch.device("meta"):
            model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**case.shape))
        made.append((device, round(model.num_parameters() / 1e9, 1)))
        return folder

    monkeypatch.setattr(gpu, "DATA_DIR", tmp_path)
    monkeypatch.setattr(gpu, "STARTER", tmp_path)
    monkeypatch.setattr(gpu, "make_model", make)
    assert list(gpu.models([], tmp_path)) == []  # without a tokenizer
    (tmp_path / "tokenizer.json").write_text("{}")
    assert [name for name, _ in gpu.models([], tmp_path)] == list(gpu.SHAPES)
    assert made == [("cuda", 1.7), ("cuda", 8.0)]  # billions of parameters


def test_weights_are_read_straight_onto_a_card(base_model, monkeypatch):
    seen = {}

    def record(folder, **options):
        seen.update(options)
        raise OSError("there is no card")

    monkeypatch.setattr(model_loader.AutoModelForCausalLM, "from_pretrained", record)
    with pytest.raises(model_loader.UserError):
        model_loader.load_base(base_model(), "bf16", torch.device("cuda", 0))
    assert seen["device_map"] == {"": torch.device("cuda", 0)}
    assert seen["dtype"] == torch.bfloat16
