"""The graph is compiled again for fewer threads, and for steps without adapters; nothing is told to
anybody."""

import os
import subprocess
import sys

import pytest
import torch

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_adapter
from worker.engine.adapters import BASE
from worker.engine.engine import Engine
from worker.engine.openvino import infer_requests
from worker.engine.openvino.infer_requests import Kind
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState


@pytest.fixture
def two_threads(monkeypatch):
    """Of the machine, and that compute just now; a function sets how many do."""

    def compute(threads: int) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    monkeypatch.setattr(infer_requests, "most_threads", lambda: 2)
    compute(2)
    return compute


def test_fewer_threads_compute_the_same(base, two_threads):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder, sequence = take_decoder(engine), writing(BASE)
        requests = decoder._forward._requests
        decoder.add([sequence])
        decoder.step()
        assert not requests._making
        assert requests.of(1, adapters=True) is requests.first  # while the other is being compiled
        wait_for(requests)
        for threads in (1, 2, 1):
            two_threads(threads)
            decoder.step()
        assert requests.of(1, adapters=True).kind == Kind(1)
    assert sequence.output_token_ids == written_by_torch(base, len(sequence.output_token_ids))


def test_steps_without_adapters_get_a_graph_without_their_inputs(
    base, tmp_path, two_threads, monkeypatch
):
    monkeypatch.setattr(infer_requests, "BASE_STEPS", 4)  # more than the probe's
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        used = []
        monkeypatch.setattr(requests, "of", noted(requests.of, used))
        with_adapter = writing(engine.adapters.load(make_adapter(base, tmp_path, 1)))
        decoder.add([with_adapter])
        for _ in range(4):
            decoder.step()
        assert not requests._making
        with_adapter.cancel_event.set()
        decoder.remove_finished()
        sequence = writing(BASE)
        decoder.add([sequence])
        for _ in range(4):
            decoder.step()
        wait_for(requests)
        decoder.step()
        assert [one.adapters for one in used] == [True] * 8 + [False]
        for _ in range(4):
            decoder.step()
        again = writing(with_adapter.adapter)
        decoder.add([again])
        for _ in range(4):
            decoder.step()
        assert used[-1].adapters
    assert sequence.output_token_ids == written_by_torch(base, len(sequence.output_token_ids))
    assert again.output_token_ids == with_adapter.output_token_ids


def test_a_large_model_has_no_such_graph(base, two_threads, monkeypatch):
    monkeypatch.setattr(infer_requests, "SMALL_BYTES", 1)
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        monkeypatch.setattr(infer_requests, "BASE_STEPS", 1)
        assert [requests.of(2, adapters=False).kind for _ in range(3)] == [Kind(2)] * 3
        assert not requests._making


def test_without_memory_the_first_graph_computes_all(base, two_threads, monkeypatch):
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        monkeypatch.setattr(infer_requests, "BASE_STEPS", 1)
        monkeypatch.setattr(infer_requests, "fits_second_copy", lambda _: False)
        for threads, adapters in ((1, True), (2, False)):
            requests.of(threads, adapters=adapters)
            wait_for(requests)
            assert requests.of(threads, adapters=adapters) is requests.first
        assert len(requests._making) == 2


def writing(adapter: str) -> SequenceState:
    request = GenerationRequest([], max_new_tokens=50)
    return SequenceState(request, list(range(40)), adapter, 50, frozenset())


def written_by_torch(base, count: int) -> list[int]:
    with Engine(base, "fp32") as engine, torch.inference_mode():
        ids, written = list(range(40)), []
        for _ in range(count):
            written.append(int(engine.logits(torch.tensor([ids + written]))[0, -1].argmax()))
    return written


def wait_for(requests) -> None:
    for thread in requests._making.values():
        thread.join()


def noted(of, used: list[Kind]):
    def noting(threads, *, adapters):
        request = of(threads, adapters=adapters)
        used.append(request.kind)
        return request

    return noting


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
