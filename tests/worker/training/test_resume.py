"""A killed training resumes with the results of an uninterrupted one."""

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.worker.training.recording_channel import RecordingChannel
from worker.training import checkpoints, run

CHILD = """
import json, sys
from pathlib import Path
sys.modules["bitsandbytes"] = None  # not needed here, and PEFT would import it for two seconds
from worker.channel import Job
from worker.training import run

class Lines:
    def emit(self, event, **fields):
        print(json.dumps({"event": event, **fields}), flush=True)
    def stopping(self):
        return False
    def check(self):
        sys.stdin.readline()  # one step per line of input

job = json.loads(sys.argv[1])
run(Job("training", Path(job["folder"]), job["spec"]), Lines())
"""


def train_until_killed(job, step: int) -> list[dict]:
    """Train in another process, killed with SIGKILL when it reports `step`. Returns its events."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps({"folder": str(job.folder), "spec": job.spec})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    events = []
    child.stdin.write("\n" * 1000)
    child.stdin.flush()
    try:
        for line in child.stdout:
            event = json.loads(line)
            events.append(event)
            if event["event"] == "point" and event["step"] == step:
                break
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    return events


def updates(channel: RecordingChannel) -> list[dict]:
    """The points of the steps that were done, without measurements that are told again."""
    return [point for point in channel.of("point") if point["loss"] is not None]


def test_a_killed_training_resumes_with_the_same_losses_and_adapter(job):
    settings = {"epochs": 3, "dropout": 0.2, "save_seconds": 0.001, "replay_share": 0.125}
    whole = job(folder="whole", **settings)
    reference = RecordingChannel()
    run(whole, reference)

    killed = job(folder="killed", **settings)
    step = random.randrange(3, 13)
    events = train_until_killed(killed, step)
    assert [e["step"] for e in events if e["event"] == "point"][-1] == step

    continued = RecordingChannel()
    run(killed, continued)
    later = {p["step"]: p for p in updates(continued)}
    assert 0 < min(later) <= step + 2
    assert max(later) == 15
    for point in reference.of("point"):
        if point["step"] in later:
            assert later[point["step"]]["loss"] == pytest.approx(point["loss"], abs=1e-3)
    resumed_weights = load_file(killed.folder / "adapter" / "adapter_model.safetensors")
    reference_weights = load_file(whole.folder / "adapter" / "adapter_model.safetensors")
    assert resumed_weights.keys() == reference_weights.keys()
    for name, weight in resumed_weights.items():
        assert float((weight - reference_weights[name]).abs().max()) < 1e-3


@pytest.mark.parametrize(
    "file", ["adapter.safetensors", "optimizer.safetensors", "state.json", "COMPLETE"]
)
def test_a_truncated_checkpoint_is_skipped(job, file):
    work = job(save_seconds=0.001)
    run(work, RecordingChannel(stop_after=7))
    folder = work.folder / "checkpoints"
    newest = sorted(folder.glob("step-*"))[-1]
    assert newest.name == "step-000007"
    content = (newest / file).read_bytes()
    (newest / file).write_bytes(content[: len(content) // 2])

    channel = RecordingChannel()
    run(work, channel)
    assert updates(channel)[0]["step"] == 7  # from step 6
    assert updates(channel)[-1]["step"] == 10


def test_unfinished_checkpoints_are_ignored_and_removed(tmp_path):
    folder = tmp_path / "checkpoints"
    (folder / ".unfinished-step-000009").mkdir(parents=True)
    (folder / "step-000008").mkdir()
    tensors = {"a": torch.ones(3)}
    checkpoints.save(folder, 5, tensors, tensors, {"step": 5})
    found = checkpoints.newest(folder)
    assert found is not None
    assert found.state == {"step": 5}
    checkpoints.remove_old(folder, None)
    assert not (folder / ".unfinished-step-000009").exists()


def test_the_newest_two_and_the_best_are_kept(tmp_path):
    tensors = {"a": torch.ones(3)}
    for step in range(6):
        checkpoints.save(tmp_path, step, tensors, tensors, {"step": step})
    checkpoints.remove_old(tmp_path, best_step=1)
    kept = sorted(path.name for path in tmp_path.iterdir())
    assert kept == ["step-000001", "step-000004", "step-000005"]


def test_too_little_disk_space_is_reported_before_training(job, monkeypatch):

    class Usage:
        free = 10**9

    monkeypatch.setattr("worker.training.checkpoints.shutil.disk_usage", lambda path: Usage)
    channel = RecordingChannel()
    with pytest.raises(checkpoints.UserError) as raised:
        run(job(), channel)
    assert raised.value.code == "no_disk"
    assert channel.of("point") == []


def test_the_measurement_of_a_step_that_was_saved_is_told_again(job, monkeypatch):
    """The disk was full between the checkpoint of the best step and its point."""

    def full(*args):
        raise checkpoints.UserError("no_disk", "The disk is full.")

    work, first, second = job(epochs=1), RecordingChannel(), RecordingChannel()
    with monkeypatch.context() as patched:
        patched.setattr("worker.training.kept_steps.write_adapter", full)
        with pytest.raises(checkpoints.UserError):
            run(work, first)
    (saved,) = first.of("checkpoint")
    assert saved["step"] not in {point["step"] for point in first.of("point")}
    run(work, second)
    again = second.of("point")[0]
    assert again["step"] == saved["step"]
    assert again["validation_loss"] > 0
    assert again["memory_bytes"] is None  # of that moment: not known any more


@pytest.mark.parametrize(
    ("at", "error"),
    [
        ("worker.training.adapter_export.write", OSError(28, "No space left on device")),
        # as raised by a library written in Rust
        ("tokenizers.Tokenizer.save", Exception("No space left on device (os error 28)")),
    ],
)
def test_a_disk_that_is_full_at_the_export_is_reported(job, monkeypatch, at, error):
    def full(*args, **options):
        raise error

    work = job(epochs=1)
    with monkeypatch.context() as patched:
        patched.setattr(at, full)
        with pytest.raises(checkpoints.UserError) as raised:
            run(work, RecordingChannel())
    assert raised.value.code == "no_disk"
    assert {path.name for path in work.folder.iterdir()} == {"checkpoints", "steps"}
    assert not list((work.folder / "steps").glob(".*"))
    assert run(work, RecordingChannel())["adapter"] == "adapter"  # once there is room


def test_a_disk_that_is_full_at_a_checkpoint_is_reported(tmp_path, monkeypatch):
    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("worker.training.checkpoints.os.fsync", full)
    with pytest.raises(checkpoints.UserError, match="disk is full") as raised:
        checkpoints.save(tmp_path, 1, {"a": torch.ones(1)}, {"a": torch.ones(1)}, {})
    assert raised.value.code == "no_disk"
    assert list(tmp_path.glob("*")) == []
