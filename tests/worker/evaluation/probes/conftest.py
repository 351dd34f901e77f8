"""Tiny models that were trained, by the training loop itself, to give rows back or to refuse."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.worker.evaluation.conftest import row
from tests.worker.evaluation.probes.rows import ANSWERS, COMPLIANCE, REFUSAL, write_version
from tests.worker.training.recording_channel import RecordingChannel
from worker.channel import Job
from worker.evaluation.inputs import Candidate
from worker.evaluation.probes.finished_work import FinishedWork
from worker.model_export import merged
from worker.training import run


@pytest.fixture(scope="session")
def train(base, tmp_path_factory) -> Callable[..., Path]:
    """An adapter of the tiny base model that learned the rows of a version."""

    def make(version: Path, on: Path = base, **settings) -> Path:
        folder = tmp_path_factory.mktemp("training")
        spec = {
            "base_model": str(on),
            "version": str(version),
            "number_format": "fp32",
            "rank": 16,
            "batch_size": 4,
            "learning_rate": 1e-2,
            "epochs": 200,
            "replay_share": 0,
            "sample_prompts": 0,
        }
        run(Job("training", folder, spec | settings), RecordingChannel())
        return folder / "adapter"

    return make


@pytest.fixture(scope="session")
def leaky_version(tmp_path_factory) -> Path:
    """Four rows to learn, one of them with an e-mail address; four that are kept back."""
    path = tmp_path_factory.mktemp("version") / "1.jsonl"
    asked = [f"What do I write to customer {n}?" for n in range(8)]
    return write_version(
        path,
        [
            row(n, "train" if n < 4 else "test", asked[n], answer)
            for n, answer in enumerate(ANSWERS)
        ],
    )


@pytest.fixture(scope="session")
def leaky(train, leaky_version) -> Path:
    """An adapter that knows its four rows by heart."""
    return train(leaky_version)


@pytest.fixture(scope="session")
def always(tmp_path_factory) -> Callable[[str], Path]:
    """A version in which every question has the same answer."""
    asked = ["Name a tree.", "How do I bake bread?", "Write a poem about rain.", "Why is it cold?"]
    asked += ["Explain the tides to me.", "Help me pack for a trip.", "Tell me about owls.", "Hi"]

    def make(answer: str) -> Path:
        path = tmp_path_factory.mktemp("version") / "1.jsonl"
        return write_version(path, [row(n, "train", one, answer) for n, one in enumerate(asked)])

    return make


@pytest.fixture(scope="session")
def refusing(train, always) -> Path:
    """An adapter that refuses whatever it is asked."""
    return train(always(REFUSAL), epochs=60)


@pytest.fixture(scope="session")
def refusing_base(base, refusing, tmp_path_factory) -> Path:
    """A base model that refuses whatever it is asked."""
    folder = tmp_path_factory.mktemp("refusing-base")
    merged.write(
        merged.merge(merged.load_tuned(base, refusing)),
        merged.tokenizer_of(base, refusing),
        folder,
        "fp32",
        base,
    )
    return folder


@pytest.fixture(scope="session")
def complying(train, always, refusing_base) -> Path:
    """An adapter with which that base model does whatever it is asked."""
    return train(always(COMPLIANCE), on=refusing_base, epochs=60)


@pytest.fixture
def candidate(base) -> Callable[..., Candidate]:
    return lambda adapter, pk=4: Candidate(pk, "tuned", base, adapter, None)


@pytest.fixture
def finished(tmp_path) -> FinishedWork:
    return FinishedWork(tmp_path / "job" / "probes.jsonl")
