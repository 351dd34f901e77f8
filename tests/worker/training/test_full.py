"""Full fine-tuning: every weight is trained, and the result is a whole model."""

import json
from types import SimpleNamespace

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.starter import FOLDER, needs_starter
from tests.worker.training.base_model_says import base_probabilities, probabilities
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job, UserError
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.template import TokenizedExample
from worker.training import checkpoints, loop, run
from worker.training.data import collate
from worker.training.losses import CausalLMLoss
from worker.training.model_loader import load
from worker.training.optimizer import FlatAdamW
from worker.training.prepare import choose_loss
from worker.training.spec import TrainingSpec

FULL = {"tuning": "full", "learning_rate": 3e-3}


def validation_losses(channel):
    return [p["validation_loss"] for p in channel.of("point") if p["validation_loss"] is not None]


@pytest.mark.parametrize(
    ("kind", "number_format"), [("llama", "bf16"), ("qwen2", "fp32"), ("gpt_neox", "fp32")]
)
def test_any_architecture_learns_with_all_its_weights(job, kind, number_format):
    channel = RecordingChannel()
    work = job(kind, epochs=6, replay_share=0.125, number_format=number_format, **FULL)
    result = run(work, channel)
    assert result["validation_loss"] < 0.7 * validation_losses(channel)[0]
    assert (result["adapter"], result["model"]) == (None, "model")


def test_every_weight_changes_and_tied_ones_stay_tied(job, base_model):
    work = job(epochs=2, **FULL)
    run(work, RecordingChannel())
    before = load_file(base_model() / "model.safetensors")
    after = load_file(work.folder / "model" / "model.safetensors")
    assert before.keys() == after.keys()
    assert "lm_head.weight" not in after
    assert all(not torch.equal(after[name], before[name]) for name in before)


def test_plain_transformers_loads_the_model_and_computes_the_same(job, base_model, monkeypatch):
    kept, real_export = {}, loop.export

    def keep(folder, adapted, *rest):
        real_export(folder, adapted, *rest)
        kept["model"] = adapted.model.eval()

    monkeypatch.setattr(loop, "export", keep)
    (base_model() / "LICENSE").write_text("Free for all.")
    work = job(epochs=2, **FULL)
    run(work, RecordingChannel())
    folder = work.folder / "model"
    ids = torch.tensor([[5, 9, 20, 31, 7]])
    reloaded = AutoModelForCausalLM.from_pretrained(folder)
    with torch.no_grad():
        ours = kept["model"](input_ids=ids).logits
        assert torch.allclose(reloaded(ids).logits, ours, atol=1e-6)
        untuned = AutoModelForCausalLM.from_pretrained(base_model())(ids).logits
    assert not torch.allclose(ours, untuned, atol=1e-2)
    assert AutoTokenizer.from_pretrained(folder).chat_template
    assert json.loads((folder / "finetune.json").read_text())["settings"]["tuning"] == "full"
    assert (folder / "LICENSE").read_text() == "Free for all."


def test_the_first_point_and_samples_are_those_of_the_base_model(job, base_model):
    channel = RecordingChannel()
    work = job(epochs=4, sample_prompts=6, warmup_ratio=0.0, patience=30, **FULL)
    result = run(work, channel)
    samples = {(one["step"], one["index"]): one for one in channel.of("sample")}
    best = result["best_step"]
    for folder, step in ((base_model(), 0), (work.folder / "model", best)):
        with Engine(folder, "fp32", may_merge=False) as engine:
            for index in range(6):
                asked = [{"role": "user", "content": samples[step, index]["prompt"]}]
                answer = engine.generate([GenerationRequest(asked, max_new_tokens=4)])[0]
                assert answer.text.strip() == samples[step, index]["answer"]
    assert any(samples[0, i]["answer"] != samples[best, i]["answer"] for i in range(6))


@pytest.mark.parametrize("number_format", ["fp32", "bf16"])
def test_replay_targets_stay_those_of_the_base_model(base_model, number_format):
    folder = base_model()
    made = load(TrainingSpec(base_model=folder, version=folder, tuning="full"), number_format)
    optimizer = FlatAdamW(made.model.parameters(), weight_decay=0.0)
    loss = choose_loss(made, RecordingChannel())
    assert isinstance(loss, CausalLMLoss)
    example = TokenizedExample([5, 9, 20, 31, 7, 12], [False] * 3 + [True] * 3)
    batch = collate([example], torch.device("cpu"))
    before = base_probabilities(loss, batch)
    for _ in range(3):
        loss(batch).losses.sum().backward()
        optimizer.accumulate_gradients()
        optimizer.step(1e-2, max_norm=10.0)
    assert torch.equal(base_probabilities(loss, batch), before)
    with torch.no_grad():
        assert not torch.allclose(probabilities(loss, batch), before, atol=1e-3)


def test_stop_and_continue_give_the_same_model(job):
    settings = {**FULL, "replay_share": 0.125, "epochs": 1, "number_format": "bf16"}
    run(job(folder="whole", **settings), RecordingChannel())
    work = job(folder="halves", **settings)
    stopped = run(work, RecordingChannel(stop_after=3))
    assert (stopped["stopped"], stopped["model"]) == (True, None)
    assert run(work, RecordingChannel())["steps"] == 5
    whole, halves = (
        load_file(work.folder.parent / name / "model" / "model.safetensors")
        for name in ("whole", "halves")
    )
    assert whole.keys() == halves.keys()
    assert all(torch.equal(whole[name], halves[name]) for name in whole)


def test_the_disk_has_to_hold_four_whole_checkpoints(job, tmp_path, monkeypatch):
    parameters = 50_000_000
    checkpoint = 14 * parameters
    free = 4 * checkpoint + checkpoints.MIN_FREE_BYTES
    usage = SimpleNamespace(free=free)
    monkeypatch.setattr("worker.training.checkpoints.shutil.disk_usage", lambda path: usage)
    checkpoints.require_space(tmp_path, checkpoint)
    usage.free -= 1
    with pytest.raises(UserError, match=r"4\.9 GB of free disk space"):
        checkpoints.require_space(tmp_path, checkpoint)
    # What an earlier attempt has left there is not needed again.
    checkpoints.save(tmp_path / "checkpoints", 1, {"a": torch.ones(9)}, {"b": torch.ones(9)}, {})
    checkpoints.require_space(tmp_path, checkpoint)


def test_a_checkpoint_is_as_large_as_was_said(job):
    work = job(epochs=1, number_format="bf16", **FULL)
    run(work, RecordingChannel())
    path = sorted((work.folder / "checkpoints").iterdir())[-1]
    weights = sum(t.numel() for t in load_file(path / "adapter.safetensors").values())
    size = sum((path / f"{name}.safetensors").stat().st_size for name in ("adapter", "optimizer"))
    assert 14 * weights < size < 14 * weights + 10_000


def test_an_adapter_cannot_be_continued_with_all_weights(job, tmp_path):
    with pytest.raises(UserError, match="start_adapter"):
        run(job(start_adapter=str(tmp_path), **FULL), RecordingChannel())


@pytest.mark.long
@needs_starter
def test_the_starter_learns_with_all_its_weights(tmp_path, version):
    lines = version.read_text().splitlines()
    version.write_text("\n".join([*lines[:8], *lines[40:43]]) + "\n")
    spec = {
        "base_model": str(FOLDER),
        "version": str(version),
        "tuning": "full",
        "epochs": 1,
        "batch_size": 4,
        "learning_rate": 1e-4,
        "warmup_ratio": 0.0,
        "schedule": "constant",
        "replay_share": 0,
        "validation_prompts": 0,
        "sample_prompts": 0,
        "save_seconds": 300.0,
    }
    channel = RecordingChannel()
    run(Job("training", tmp_path / "run", spec), channel)
    losses = validation_losses(channel)
    assert losses[-1] < 0.8 * losses[0]
