"""In fp32 an answer has the same tokens alone, in a batch, with the adapter applied or merged."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from django.conf import settings

from tests.starter import FOLDER, needs_starter
from tests.worker.training.recording_channel import RecordingChannel
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.model_export.run import run

QUESTIONS = [f"Email {n}: where are my {n * 7} bikes" + "?" * (n % 3) for n in range(6)]


@pytest.mark.parametrize("kind", ["llama", "qwen2"])
def test_answer_alone_batched_and_merged_is_the_same(kind, make_job, tuned, tmp_path):
    base, adapter = tuned(kind)
    job = make_job(kind, "merged", "fp32")
    with zipfile.ZipFile(job.folder / run(job, RecordingChannel())["file"]) as archive:
        archive.extractall(tmp_path)

    def requests(adapter):
        return [
            GenerationRequest([{"role": "user", "content": text}], adapter, max_new_tokens=10)
            for text in QUESTIONS
        ]

    with Engine(base, "fp32") as engine:
        alone = [engine.generate([one])[0].token_ids for one in requests(adapter)]
        batched = [one.token_ids for one in engine.generate(requests(adapter))]
        untuned = [one.token_ids for one in engine.generate(requests(None))]
    with Engine(tmp_path / job.spec["name"] / "model", "fp32") as engine:
        merged = [one.token_ids for one in engine.generate(requests(None))]
    assert alone == batched == merged
    assert alone != untuned  # the adapter has an effect


@needs_starter
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_parity_benchmark_of_the_starter_passes(tmp_path):
    """It fails if fp32 differs in a token, or another format in more than 2 of 100 answers."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.parity",
        "--model",
        str(Path(FOLDER).resolve()),
        "--keep",
        str(tmp_path),
    ]
    environment = os.environ | {"PYTHONPATH": str(settings.BASE_DIR)}
    process = subprocess.run(command, cwd=settings.BASE_DIR, env=environment)
    assert process.returncode == 0
