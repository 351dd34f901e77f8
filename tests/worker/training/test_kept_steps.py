"""The adapters of measured steps: which are kept, and that each is one that PEFT can load."""

import json
from hashlib import sha256

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from tests.worker.training.recording_channel import RecordingChannel
from worker.training import general_ability, kept_steps, run
from worker.training.validation import Validation


def validations(*scores):
    return [Validation(10 * n, 1.0, score) for n, score in enumerate(scores, 1)]


@pytest.fixture
def measured_often(monkeypatch):
    """Measurements cost nothing."""
    monkeypatch.setattr("worker.training.state.measurement_cost", lambda *tokens: 0.0)


def test_every_measured_step_is_kept_and_the_best_one_is_the_adapter(job, measured_often):
    work, channel = job(epochs=2), RecordingChannel()
    result = run(work, channel)
    measured = {p["step"] for p in channel.of("point") if p["step"] and p["validation_loss"]}
    kept = result["kept_steps"]
    assert {int(step) for step in kept} == measured - {result["best_step"]}
    assert len(kept) > 2
    for step, digest in kept.items():
        weights = work.folder / "steps" / f"{int(step):06d}" / "adapter_model.safetensors"
        assert sha256(weights.read_bytes()).hexdigest() == digest
    assert len(set(kept.values())) == len(kept)  # each step learned something
    names = {path.name for path in (work.folder / "steps").iterdir()}
    assert names == {f"{int(step):06d}" for step in kept}


def test_peft_loads_a_kept_step_as_it_was_then(job, base_model, measured_often, monkeypatch):
    ids = torch.tensor([[5, 9, 20, 31, 7]])
    logits = {}
    real = kept_steps.keep

    def keep(training, state):
        real(training, state)
        model = training.adapted.model.eval()
        with torch.no_grad():
            logits[state.step] = model(input_ids=ids).logits
        model.train()

    monkeypatch.setattr(kept_steps, "keep", keep)
    work = job()
    step = int(next(iter(run(work, RecordingChannel())["kept_steps"])))
    folder = work.folder / "steps" / f"{step:06d}"
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base_model()), folder)
    assert torch.allclose(loaded(ids).logits, logits[step], atol=1e-5)
    assert json.loads((folder / "finetune.json").read_text())["step"] == step


def test_keeping_a_step_does_not_change_what_is_learned(job, measured_often, monkeypatch):
    def weights(folder):
        run(job(folder=folder), RecordingChannel())
        return load_file(job(folder=folder).folder / "adapter" / "adapter_model.safetensors")

    kept = weights("kept")
    monkeypatch.setattr(kept_steps, "MAX_KEPT_BYTES", 0)
    assert all(torch.equal(tensor, kept[name]) for name, tensor in weights("none").items())


def test_a_stopped_run_that_is_continued_keeps_the_same_steps(job, measured_often):
    whole = run(job(folder="whole"), RecordingChannel())
    work = job(folder="stopped")
    assert run(work, RecordingChannel(stop_after=6))["kept_steps"] == {}
    assert run(work, RecordingChannel())["kept_steps"] == whole["kept_steps"]


def test_of_large_adapters_the_best_that_fit_are_kept(job, measured_often, monkeypatch):
    work = job()
    size = sum(
        tensor.nbytes
        for tensor in load_file(
            _adapter(work, RecordingChannel()) / "adapter_model.safetensors"
        ).values()
    )
    monkeypatch.setattr(kept_steps, "MAX_KEPT_BYTES", 3 * size)
    again = run(job(folder="large"), RecordingChannel())
    assert len(again["kept_steps"]) == 2  # and the best one


def _adapter(work, channel):
    run(work, channel)
    return work.folder / "adapter"


def test_the_best_steps_come_first_and_of_equals_the_earlier():
    assert kept_steps.best_steps(validations(0.1, 0.5, 0.5, 0.2), 2) == {20, 30}
    assert kept_steps.best_steps(validations(0.5, 0.5, 0.5), 1) == {10}
    assert kept_steps.best_steps([Validation(10, None, None)], 3) == set()


def test_the_kept_steps_count_in_the_disk_check(job, monkeypatch):
    asked = []
    monkeypatch.setattr(
        "worker.training.checkpoints.require_space", lambda *sizes: asked.append(sizes)
    )
    result = run(job(), RecordingChannel())
    assert asked[0][2] >= (len(result["kept_steps"]) + 1) * 1000


def test_other_text_is_compared_with_the_base_model(job, base_model, tokenizer, monkeypatch):
    """The same figure as plain transformers and PEFT give for the step's adapter."""
    monkeypatch.setattr("worker.training.state.measurement_cost", lambda *tokens: 1e6)
    monkeypatch.setattr("worker.training.state.validation_steps", lambda total, *_: [total])
    work, channel = job(), RecordingChannel()
    run(work, channel)
    (found,) = (p["general_ability"] for p in channel.of("point") if p["general_ability"])
    ids = general_ability.text_windows(tokenizer, 1024, other_work=1e6)
    base = AutoModelForCausalLM.from_pretrained(base_model())
    with torch.no_grad():
        before = base(ids, labels=ids).loss
        tuned = PeftModel.from_pretrained(base, work.folder / "adapter")
        after = tuned(ids, labels=ids).loss
    assert found == pytest.approx(float(torch.exp(before - after)), rel=1e-3)
    assert abs(found - 1) > 0.01


def test_where_measuring_is_dear_the_text_is_left_out(tokenizer):
    windows = general_ability.text_windows(tokenizer, 1024, other_work=1e6)
    assert windows.shape == (general_ability.MAX_WINDOWS, 256)
    assert len(general_ability.text_windows(tokenizer, 1024, other_work=400)) == 1
    assert not len(general_ability.text_windows(tokenizer, 1024, other_work=10))


def test_the_text_is_not_that_of_the_general_check():
    from worker.evaluation.general_check.perplexity import TEXTS

    ours = general_ability.TEXT.read_text("utf-8")
    sentences = [one.strip() for one in ours.split(".") if len(one) > 20]
    others = " ".join(path.read_text("utf-8") for path in TEXTS)
    assert not [one for one in sentences if one in others]
