"""The graph is compiled again for fewer threads, and for steps of one adapter or none; nothing is
told to anybody."""

import os
import subprocess
import sys

import pytest
import torch

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_adapter
from worker.engine.adapters import BASE
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState

graph, infer_requests = (
    pytest.importorskip(f"worker.engine.openvino.{name}", reason="OpenVINO is not installed")
    for name in ("graph", "infer_requests")
)
Kind = infer_requests.Kind


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
        assert requests.of(1, mixed=True) is requests.first  # while the other is being compiled
        wait_for(requests)
        for threads in (1, 2, 1):
            two_threads(threads)
            decoder.step()
        assert requests.of(1, mixed=True).kind == Kind(1)
    assert sequence.output_token_ids == written_by_torch(base, len(sequence.output_token_ids))


def test_steps_that_use_one_adapter_or_none_get_a_graph_that_sorts_nothing(
    base, tmp_path, two_threads, monkeypatch
):
    monkeypatch.setattr(infer_requests, "ALIKE_STEPS", 4)  # more than the probe's
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests, used = decoder._forward._requests, []
        monkeypatch.setattr(requests, "of", noted(requests.of, used))
        adapter = engine.adapters.load(make_adapter(base, tmp_path, 1))

        def steps(count: int, *adapters: str) -> list[SequenceState]:
            sequences = [writing(name) for name in adapters]
            decoder.add(sequences)
            for _ in range(count):
                decoder.step()
            for one in sequences:
                one.cancel_event.set()
            decoder.remove_finished()
            return sequences

        beside = steps(4, adapter, BASE)
        assert not requests._making
        steps(4, BASE)
        wait_for(requests)
        alone, base_alone = steps(4, adapter), steps(4, BASE)
        again = steps(4, BASE, adapter)
    assert [one.mixed for one in used] == [True] * 8 + [False] * 8 + [True] * 4
    assert written(beside) == written(alone + base_alone) == written(reversed(again))
    assert written(base_alone) == [written_by_torch(base, 4)]


def test_a_graph_that_computes_something_else_is_left(base, two_threads, monkeypatch, caplog):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder, sequence = take_decoder(engine), writing(BASE)
        requests, used = decoder._forward._requests, []
        monkeypatch.setattr(infer_requests, "ALIKE_STEPS", 1)
        monkeypatch.setattr(graph._Builder, "_rotate", not_rotated)
        decoder.add([sequence])
        decoder.step()
        wait_for(requests)
        monkeypatch.setattr(requests, "of", noted(requests.of, used))
        for _ in range(3):
            decoder.step()
        assert [one.mixed for one in used] == [False, True, True]
    assert "computes something else" in caplog.text
    assert sequence.output_token_ids == written_by_torch(base, len(sequence.output_token_ids))


def test_a_large_model_has_no_such_graph(base, two_threads, monkeypatch):
    monkeypatch.setattr(infer_requests, "SMALL_BYTES", 1)
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        monkeypatch.setattr(infer_requests, "ALIKE_STEPS", 1)
        assert [requests.of(2, mixed=False).kind for _ in range(3)] == [Kind(2)] * 3
        assert not requests._making


def test_without_memory_the_first_graph_computes_all(base, two_threads, monkeypatch):
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        monkeypatch.setattr(infer_requests, "ALIKE_STEPS", 1)
        monkeypatch.setattr(infer_requests, "fits_second_copy", lambda _: False)
        for threads, mixed in ((1, True), (2, False)):
            requests.of(threads, mixed=mixed)
            wait_for(requests)
            assert requests.of(threads, mixed=mixed) is requests.first
        assert len(requests._making) == 2


def writing(adapter: str) -> SequenceState:
    request = GenerationRequest([], max_new_tokens=50)
    return SequenceState(request, list(range(40)), adapter, 50, frozenset())


def written(sequences) -> list[list[int]]:
    return [one.output_token_ids for one in sequences]


def written_by_torch(base, count: int) -> list[int]:
    with Engine(base, "fp32") as engine, torch.inference_mode():
        ids, written = list(range(40)), []
        for _ in range(count):
            written.append(int(engine.logits(torch.tensor([ids + written]))[0, -1].argmax()))
    return written


def not_rotated(_builder, x, _heads: int):
    """As if positions did not matter."""
    return graph.ops.reshape(x, graph._ints([0, -1]), True)


def wait_for(requests) -> None:
    for thread in requests._making.values():
        thread.join()


def noted(of, used: list[Kind]):
    def noting(threads, *, mixed):
        request = of(threads, mixed=mixed)
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
