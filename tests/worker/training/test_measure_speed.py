"""This machine's speed, by a short training; and what the first real training is spared."""

import shutil

import pytest

from tests.worker.training.conftest import WORDS
from tests.worker.training.recording_channel import RecordingChannel
from worker.training import run
from worker.training.measure_speed import job_of, measure, read_everyday_rows
from worker.training.replay.targets import ReplayTargets

CONVERSATIONS = [
    [{"role": "user", "content": word}, {"role": "assistant", "content": f"[{word}]"}]
    for word in WORDS
]


@pytest.fixture
def base(base_model, tmp_path):
    """With nothing beside it that another test has kept there."""
    return shutil.copytree(base_model(), tmp_path / "models" / "llama")


def test_speed_memory_and_number_format_are_measured(base):
    found = measure(base, CONVERSATIONS)
    assert found["tokens_per_second"] > 0
    assert found["tokens_per_step"] > 0
    assert found["peak_memory_bytes"] > 0
    assert found["number_format"] in ("bf16", "fp32")


def test_the_first_training_after_it_reads_no_everyday_row(base, monkeypatch):
    # Of a tiny model beside others now one format is quicker, now the other.
    monkeypatch.setattr("worker.training.prepare.fastest_number_format", lambda _: "fp32")
    read_everyday_rows(base, CONVERSATIONS)

    def read(*_args):
        raise AssertionError("was read already")

    monkeypatch.setattr(ReplayTargets, "_read", read)
    with job_of(base, CONVERSATIONS) as job:
        assert run(job, RecordingChannel())["steps"] > 0


def test_without_it_the_training_reads_them(base, monkeypatch):
    read = []
    original = ReplayTargets._read
    monkeypatch.setattr(
        ReplayTargets, "_read", lambda self, block: read.append(block) or original(self, block)
    )
    with job_of(base, CONVERSATIONS) as job:
        run(job, RecordingChannel())
    assert read
