"""The export of a QLoRA training is merged into the rounded weights that it learned beside."""

import zipfile

import pytest
import torch

from tests.worker.training.recording_channel import RecordingChannel
from worker.engine.adapters import read_adapter
from worker.engine.engine import Engine
from worker.engine.model_loader import load
from worker.model_export import merged
from worker.model_export.run import run

pytest.importorskip("bitsandbytes")
NAMES = ("model.layers.0.self_attn.q_proj", "model.layers.1.mlp.down_proj")


def exported(job, to):
    """The folder of the merged model, whose check has passed."""
    result = run(job, RecordingChannel())
    assert result["parity"]["passed"]
    with zipfile.ZipFile(job.folder / result["file"]) as archive:
        archive.extractall(to)
    return to / job.spec["name"] / "model"


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_its_weights_are_the_rounded_ones_with_the_adapter(kind, make_job, tuned, tmp_path):
    base, adapter = tuned(kind)
    written = merged.load_back(exported(make_job(kind, in_4bit=True), tmp_path))
    rounded, plain = (load(base, one).model for one in ("nf4", "bf16"))
    loras = read_adapter(adapter, plain, torch.float32)
    for name in NAMES:
        added = loras[name].up @ loras[name].down
        found = written.get_submodule(name).weight - added
        assert torch.allclose(found, rounded.get_submodule(name).weight.float(), atol=1e-5)
        assert not torch.allclose(found, plain.get_submodule(name).weight.float(), atol=1e-2)


def test_it_answers_as_it_was_served(make_job, tuned, tmp_path):
    base, adapter = tuned("llama")
    folder = exported(make_job("llama", in_4bit=True), tmp_path)
    ids = torch.randint(0, 256, (4, 12), generator=torch.Generator().manual_seed(3))
    with Engine(folder, "fp32") as engine:
        alone = engine.logits(ids)
    with Engine(base, "nf4", may_merge=False) as engine:
        served = engine.logits(ids, adapter).float()
    with Engine(base, "bf16", may_merge=False) as engine:
        elsewhere = engine.logits(ids, adapter).float()
    assert (alone - served).std() < 0.05 * alone.std()
    assert (alone - elsewhere).std() > 3 * (alone - served).std()


@pytest.mark.parametrize("number_format", ["f16", "q8_0"])
def test_so_are_the_weights_of_a_gguf_file(number_format, make_job):
    result = run(make_job("llama", "gguf", number_format, in_4bit=True), RecordingChannel())
    assert result["parity"]["passed"]
