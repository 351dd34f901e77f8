"""Beside other programs the graph is computed by fewer threads; nothing is told to anybody."""

import os
import subprocess
import sys

import pytest
import torch

from tests.worker.engine.generation_requests import take_decoder
from worker.engine.adapters import BASE
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState


@pytest.fixture
def two_threads(monkeypatch):
    """Of the machine, and that compute just now; a function sets how many do."""

    def compute(threads: int) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    monkeypatch.setattr("worker.engine.openvino.infer_requests.most_threads", lambda: 2)
    compute(2)
    return compute


def test_fewer_threads_compute_the_same(base, two_threads):
    sequence = SequenceState(
        GenerationRequest([], max_new_tokens=50), list(range(40)), BASE, 50, frozenset()
    )
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        decoder.add([sequence])
        decoder.step()
        assert requests._making is None
        assert requests.of(1) is requests.of(2)  # while the other is being compiled
        requests._making.join()
        assert requests.of(1) is not requests.of(2)
        for threads in (1, 2, 1):
            two_threads(threads)
            decoder.step()
        written = sequence.output_token_ids
    with Engine(base, "fp32") as engine, torch.inference_mode():
        ids, expected = list(range(40)), []
        for _ in written:
            expected.append(int(engine.logits(torch.tensor([ids + expected]))[0, -1].argmax()))
    assert written == expected


def test_without_memory_all_threads_go_on(base, two_threads, monkeypatch):
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        monkeypatch.setattr(
            "worker.engine.openvino.infer_requests.fits_second_copy", lambda _: False
        )
        requests.of(1)
        requests._making.join()
        assert requests.of(1) is requests.of(2)


def test_openvino_reports_to_nobody_that_it_is_used(tmp_path):
    """Its package for that keeps a number for this computer in the home folder."""
    program = "import worker.engine.openvino, openvino; openvino.Core(); import openvino_telemetry"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | {"HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "ModuleNotFoundError: import of openvino_telemetry halted" in done.stderr
    assert not list(tmp_path.iterdir())
