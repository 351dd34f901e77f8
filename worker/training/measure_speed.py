"""Measure how fast this machine trains a base model, by one short run.

    python -m worker.training.measure_speed FOLDER < rows.json

`rows.json` is a list of conversations (lists of messages). Prints a JSON line:
{"tokens_per_second", "tokens_per_step", "peak_memory_bytes", "number_format"}.

Then the base model reads all everyday rows, so that the first training with it need not.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from finetune_app.core.chat_messages import Message
from worker.channel import Job
from worker.memory import release_memory
from worker.thread_waits import follow_load
from worker.training.loop import run
from worker.training.prepare import prepare, replay_targets
from worker.training.spec import TrainingSpec


class SpeedRecorder:
    """A channel that records the speed of each step. The first steps are slower than the rest."""

    def __init__(self) -> None:
        self.speeds: list[float] = []

    def emit(self, event: str, **fields: Any) -> None:
        if event == "point" and fields.get("tokens_per_second"):
            self.speeds.append(float(fields["tokens_per_second"]))

    def stopping(self) -> bool:
        return False

    def check(self) -> None:
        """There is no lease."""


class SpeedMeasurement(TypedDict):
    tokens_per_second: float
    tokens_per_step: float
    peak_memory_bytes: int
    number_format: str


def measure(base_model: Path, conversations: list[list[Message]]) -> SpeedMeasurement:
    """Train on the conversations for one epoch; the speed is that of the fastest step."""
    with job_of(base_model, conversations) as job:
        recorder = SpeedRecorder()
        result = run(job, recorder)
    whole_run = result["tokens"] / max(result["seconds"], 0.001)
    everyday = result["work"] / result["tokens"]
    return {
        "tokens_per_second": max([whole_run, *recorder.speeds]) * everyday,
        "tokens_per_step": result["work"] / result["steps"],
        "peak_memory_bytes": result["peak_memory_bytes"],
        "number_format": result["number_format"],
    }


def read_everyday_rows(base_model: Path, conversations: list[list[Message]]) -> None:
    """As a training on the conversations would; what it finds is kept beside the base model."""
    with job_of(base_model, conversations) as job:
        spec = TrainingSpec.from_json(job.spec)
        training, _state = prepare(spec, job.folder, SpeedRecorder())
        replay = training.replay_examples
        replay_targets(training.spec, training.adapted, training.loss, replay).read_all()


@contextmanager
def job_of(base_model: Path, conversations: list[list[Message]]) -> Iterator[Job]:
    """A training of one epoch, in a folder that is removed after it."""
    with tempfile.TemporaryDirectory(prefix="finetune-measure-") as scratch:
        folder = Path(scratch)
        version = folder / "version.jsonl"
        rows = [
            {"id": number, "split": "train", "messages": messages}
            for number, messages in enumerate(conversations)
        ]
        version.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
        spec = {
            "base_model": str(base_model),
            "version": str(version),
            "epochs": 1,
            "sample_prompts": 0,
            "save_seconds": 3600.0,
        }
        yield Job("training", folder, spec)


if __name__ == "__main__":
    follow_load()
    base, rows = Path(sys.argv[1]), json.load(sys.stdin)
    print(json.dumps(measure(base, rows)), flush=True)
    release_memory()  # of the model, which is loaded once more
    read_everyday_rows(base, rows)
