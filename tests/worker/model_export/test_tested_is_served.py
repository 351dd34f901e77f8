"""Tested = served: in fp32 an answer is the same to the token, alone, in a batch, with the adapter
laid over or merged. On a tiny model always; on the tuned starter in `make long`."""

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
def test_single_batched_laid_over_and_merged_say_the_same(kind, order, tuned, tmp_path):
    base, adapter = tuned(kind)
    job = order(kind, "merged", "fp32")
    with zipfile.ZipFile(job.folder / run(job, RecordingChannel())["file"]) as packed:
        packed.extractall(tmp_path)

    def asked(adapter):
        return [
            GenerationRequest([{"role": "user", "content": text}], adapter, max_new_tokens=10)
            for text in QUESTIONS
        ]

    with Engine(base, "fp32") as engine:
        alone = [engine.generate([one])[0].token_ids for one in asked(adapter)]
        batched = [one.token_ids for one in engine.generate(asked(adapter))]
        untuned = [one.token_ids for one in engine.generate(asked(None))]
    with Engine(tmp_path / job.spec["name"] / "model", "fp32") as engine:
        merged = [one.token_ids for one in engine.generate(asked(None))]
    assert alone == batched == merged
    assert alone != untuned  # else the adapter would not matter


@needs_starter
@pytest.mark.long
@pytest.mark.timeout(7200)
def test_every_form_of_the_tuned_starter(tmp_path):
    """The printed benchmark: trained on the sample goal, asked in seven forms, a table at the end.
    It ends with 1 where fp32 differs by a token, or a rounded form on more than 2 of 100."""
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
    done = subprocess.run(command, cwd=settings.BASE_DIR, env=environment)
    assert done.returncode == 0
