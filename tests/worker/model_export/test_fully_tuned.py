"""A model of which every weight was trained is exported as it is, in every format."""

import json
import zipfile

import pytest
import torch

from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.model_export.run import run
from worker.training import run as train

FORMATS = [("merged", "fp32"), ("merged", "bf16"), ("gguf", "f16"), ("gguf", "q8_0")]


@pytest.fixture(scope="module")
def trained(tuned, tmp_path_factory):
    """The folder of the model that a training left, by its architecture."""

    def folder(kind):
        place = tmp_path_factory.mktemp(kind)
        rows = [
            {
                "id": number,
                "split": "train" if number < 8 else "validation",
                "messages": [
                    {"role": "user", "content": f"Email {number}"},
                    {"role": "assistant", "content": "topic: order"},
                ],
            }
            for number in range(10)
        ]
        (place / "1.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
        spec = {
            "base_model": str(tuned(kind)[0]),
            "version": str(place / "1.jsonl"),
            "tuning": "full",
            "number_format": "bf16",
            "epochs": 2,
            "batch_size": 4,
            "learning_rate": 1e-3,
            "replay_share": 0,
            "validation_prompts": 0,
            "sample_prompts": 0,
        }
        train(Job("training", place / "run", spec), RecordingChannel())
        return place / "run" / "model"

    made = {}
    return lambda kind: made.get(kind) or made.setdefault(kind, folder(kind))


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
@pytest.mark.parametrize(("container", "number_format"), FORMATS)
def test_every_format_passes_its_check(kind, container, number_format, trained, make_job):
    job = make_job(kind, container, number_format, base_model=str(trained(kind)), adapter=None)
    channel = RecordingChannel()
    result = run(job, channel)
    assert result["parity"]["passed"]
    assert [path.name for path in job.folder.iterdir()] == [result["file"]]
    with zipfile.ZipFile(job.folder / result["file"]) as archive:
        names = {name.split("/", 1)[1] for name in archive.namelist()}
    assert "README.md" in names
    assert {"model/LICENSE", "LICENSE"} & names


def test_the_merged_model_answers_as_the_run_s_own(trained, make_job, tmp_path):
    folder = trained("llama")
    job = make_job(base_model=str(folder), adapter=None)
    with zipfile.ZipFile(job.folder / run(job, RecordingChannel())["file"]) as archive:
        archive.extractall(tmp_path)
    asked = [GenerationRequest([{"role": "user", "content": "Email 3"}], max_new_tokens=8)]
    found = []
    for one in (folder, tmp_path / job.spec["name"] / "model"):
        with Engine(one, "fp32") as engine:
            found.append((engine.generate(asked)[0].text, engine.logits(torch.tensor([[1, 2, 3]]))))
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])
