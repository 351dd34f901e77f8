"""Two processes share every update: the result is that of one, and either may be killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.worker.training.recording_channel import RecordingChannel
from tests.worker.training.test_resume import CHILD
from worker.training import run
from worker.training.data_parallel import PEER_DIED, processes_for
from worker.training.spec import TrainingSpec

SETTINGS = {"replay_share": 0.125, "save_seconds": 0.001, "epochs": 3}


def train_in_a_child(job) -> subprocess.Popen:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, json.dumps({"folder": str(job.folder), "spec": job.spec})],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    child.stdin.write("\n" * 1000)
    child.stdin.flush()
    return child


def wait_for_step(child: subprocess.Popen, step: int) -> None:
    for line in child.stdout:
        event = json.loads(line)
        if event["event"] == "progress" and event["done"] >= step:
            return
    raise AssertionError("it ended before")


def adapter_of(job) -> dict[str, torch.Tensor]:
    return load_file(job.folder / "adapter" / "adapter_model.safetensors")


def assert_equal(job, other) -> None:
    expected = adapter_of(other)
    for name, tensor in adapter_of(job).items():
        assert torch.allclose(tensor, expected[name], atol=1e-5), name


@pytest.fixture
def whole(job):
    """The same training by a single process."""
    work = job(folder="whole", **SETTINGS)
    run(work, RecordingChannel())
    return work


def test_two_processes_learn_what_one_learns(job, whole):
    work = job(folder="two", processes=2, **SETTINGS)
    child = train_in_a_child(work)
    events = [json.loads(line) for line in child.stdout]
    assert child.wait() == 0
    assert_equal(work, whole)
    points = [event for event in events if event["event"] == "point"]
    assert sum(point["step"] == 5 for point in points) == 1  # only one of them reports


@pytest.mark.long
@pytest.mark.parametrize("killed", ["the first", "the second"])
def test_either_may_be_killed_and_the_job_goes_on(job, whole, killed):
    work = job(folder="killed", processes=2, **SETTINGS)
    child = train_in_a_child(work)
    wait_for_step(child, 4)
    (peer,) = psutil.Process(child.pid).children()
    os.kill(child.pid if killed == "the first" else peer.pid, signal.SIGKILL)
    assert child.wait(timeout=60) != 0
    deadline = time.monotonic() + 60
    while peer.is_running() and peer.status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline, "the peer is still there"
        time.sleep(0.05)
    again = train_in_a_child(work)
    again.communicate()
    assert again.returncode == 0
    assert_equal(work, whole)


WITH_A_PEER_THAT_DIES = """
import subprocess, sys
from pathlib import Path
from worker.training import data_parallel
from worker.training.spec import TrainingSpec

data_parallel._start_peer = lambda *order: subprocess.Popen([sys.executable, "-c", ""])
here = Path()
spec = TrainingSpec(base_model=here, version=here, batch_size=2, processes=2)
data_parallel.start_peers(spec, here)
"""


def test_a_peer_that_dies_before_it_has_joined_is_not_waited_for():
    waiting = subprocess.run(
        [sys.executable, "-c", WITH_A_PEER_THAT_DIES], cwd=Path(__file__).parents[3], timeout=300
    )
    assert waiting.returncode == PEER_DIED


def test_a_processor_is_one_process_and_each_card_is_another(monkeypatch, tmp_path):
    spec = TrainingSpec(base_model=tmp_path, version=tmp_path, batch_size=4)
    assert processes_for(spec) == 1
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert processes_for(spec) == 2
    monkeypatch.setattr("torch.cuda.device_count", lambda: 8)
    assert processes_for(spec) == 4  # an example each, at least
