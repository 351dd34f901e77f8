"""The graph is compiled again for fewer threads, and for steps that mix adapters; nothing is told
to anybody."""

import os
import subprocess
import sys
from pathlib import Path

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
NONE, ONE, SEVERAL = graph.AdapterUse


@pytest.fixture
def two_threads(monkeypatch):
    """Of the machine, and that compute just now; a function sets how many do."""

    def compute(threads: int) -> None:
        monkeypatch.setattr(torch, "get_num_threads", lambda: threads)

    monkeypatch.setattr(infer_requests, "most_threads", lambda: 2)
    compute(2)
    return compute


@pytest.fixture
def adapters(base, tmp_path) -> list[Path]:
    return [make_adapter(base, tmp_path / str(seed), seed) for seed in (1, 2)]


def test_fewer_threads_compute_the_same(base, two_threads):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder, sequence = take_decoder(engine), writing(BASE)
        requests = decoder._forward._requests
        decoder.add([sequence])
        decoder.step()
        assert not requests._making
        assert requests.of(1, ONE) is requests.first  # while the other is being compiled
        wait_for(requests)
        for threads in (1, 2, 1):
            two_threads(threads)
            decoder.step()
        assert requests.of(1, ONE).kind == Kind(1, ONE)
    assert sequence.output_token_ids == written_by_torch(base, len(sequence.output_token_ids))


def test_only_steps_that_mix_adapters_make_a_graph_that_sorts_tokens(base, adapters, two_threads):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        one, another = (engine.adapters.load(folder) for folder in adapters)
        alone = [steps(decoder, 4, name) for name in (one, another, BASE)]
        assert not requests._making
        steps(decoder, 1, one, another)
        wait_for(requests)
        mixed = steps(decoder, 4, one, BASE, another)
        assert requests._made[Kind(2, SEVERAL)].is_proven
    assert written(mixed) == written([alone[0][0], alone[2][0], alone[1][0]])
    assert written(alone[2]) == [written_by_torch(base, 4)]


def test_what_is_asked_without_adapters_gets_a_graph_without_them_until_others_mix(
    base, adapters, two_threads, monkeypatch
):
    monkeypatch.setattr(infer_requests, "STEPS_WITHOUT", 10)
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        name = engine.adapters.load(adapters[0])
        steps(decoder, 12, name)
        assert not requests._making
        before = steps(decoder, 12, BASE)
        wait_for(requests)
        after = steps(decoder, 12, BASE)
        assert requests._made[Kind(2, NONE)].is_proven
        steps(decoder, 2, name, BASE)
        wait_for(requests)
        assert {kind.use for kind in requests._made} == {ONE, SEVERAL}
        steps(decoder, 12, BASE)
        assert {kind.use for kind in requests._made} == {ONE, SEVERAL}
    assert written(before)[0][:12] == written(after)[0][:12] == written_by_torch(base, 12)


def test_without_such_a_graph_one_adapter_is_computed_after_another(
    base, adapters, two_threads, monkeypatch
):
    """Prompts that are read in chunks, and answers that are guessed, too."""
    monkeypatch.setattr(infer_requests.StepRequests, "_begin", lambda *_: None)
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        one, another = (engine.adapters.load(folder) for folder in adapters)
        alone = [steps(decoder, 12, name)[0] for name in (one, another, one)]
        beside = [writing(BASE, 300), *map(writing, (one, another, one))]
        decoder.add(beside[1:3])
        decoder.step()
        decoder.add([beside[0], beside[3]])  # they read while others write
        while any(len(one.output_token_ids) < 12 for one in beside):
            decoder.step()
        long = beside[0].output_token_ids
    assert [tokens[:12] for tokens in written(beside[1:])] == [t[:12] for t in written(alone)]
    assert long == written_by_torch(base, len(long), 300)


def test_a_graph_that_computes_something_else_is_left(
    base, adapters, two_threads, monkeypatch, caplog
):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests, used = decoder._forward._requests, []
        name = engine.adapters.load(adapters[0])
        alone = steps(decoder, 4, BASE)
        monkeypatch.setattr(graph._Builder, "_rotate", not_rotated)
        requests.of(2, SEVERAL)
        wait_for(requests)
        monkeypatch.setattr(requests, "of", noted(requests.of, used))
        beside = steps(decoder, 4, BASE, name)
    assert [one.use for one in used] == [SEVERAL, ONE, ONE, ONE]
    assert "computes something else" in caplog.text
    assert written(beside)[0] == written(alone)[0]


def test_one_graph_computes_all_steps_of_a_large_model(base, two_threads, monkeypatch):
    monkeypatch.setattr(infer_requests, "SMALL_BYTES", 1)
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        assert requests.of(2, ONE) is requests.of(2, SEVERAL) is requests.first
        assert requests.first.kind == Kind(2, SEVERAL)
        assert not requests._making


def test_without_memory_the_first_graph_computes_all(base, two_threads, monkeypatch):
    with Engine(base, "fp32") as engine:
        requests = take_decoder(engine)._forward._requests
        monkeypatch.setattr(infer_requests, "fits_second_copy", lambda _: False)
        for threads, use in ((1, SEVERAL), (2, SEVERAL), (1, ONE)):
            requests.of(threads, use)
            wait_for(requests)
            assert requests.of(threads, use) is requests.first
        assert len(requests._making) == 3


def steps(decoder, count: int, *adapters: str) -> list[SequenceState]:
    """Of a sequence for each of these adapters, which leave then."""
    sequences = [writing(name) for name in adapters]
    decoder.add(sequences)
    for _ in range(count):
        decoder.step()
    for one in sequences:
        one.cancel_event.set()
    decoder.remove_finished()
    return sequences


def writing(adapter: str, length: int = 40) -> SequenceState:
    request = GenerationRequest([], max_new_tokens=50)
    prompt = [number % 50 for number in range(length)]
    return SequenceState(request, prompt, adapter, 50, frozenset())


def written(sequences) -> list[list[int]]:
    return [one.output_token_ids for one in sequences]


def written_by_torch(base, count: int, length: int = 40) -> list[int]:
    with Engine(base, "fp32") as engine, torch.inference_mode():
        ids, written = [number % 50 for number in range(length)], []
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
    def noting(threads, use):
        request = of(threads, use)
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
