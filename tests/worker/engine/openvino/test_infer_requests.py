"""The graph is compiled again for fewer threads, for steps that mix adapters, and with the adapter
that is used alone; nothing is told to anybody."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.worker.engine.generation_requests import take_decoder
from tests.worker.engine.tiny_models import make_adapter, make_base
from worker.engine.adapters import BASE
from worker.engine.engine import Engine
from worker.engine.requests import GenerationRequest
from worker.engine.sequences import SequenceState

graph, infer_requests = (
    pytest.importorskip(f"worker.engine.openvino.{name}", reason="OpenVINO is not installed")
    for name in ("graph", "infer_requests")
)
Kind = infer_requests.Kind
WEIGHTS = "adapter_model.safetensors"
FIXED, ONE, SEVERAL = graph.AdapterUse


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


@pytest.fixture
def early(monkeypatch):
    """A graph of its own after ten steps, and twice as many each time it takes a place."""
    monkeypatch.setattr(infer_requests, "STEPS_ALONE", 10)
    monkeypatch.setattr(infer_requests, "FACTOR", 2)


def test_fewer_threads_compute_the_same(base, two_threads):
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder, sequence = take_decoder(engine), writing(BASE)
        requests = decoder._forward._requests
        decoder.add([sequence])
        decoder.step()
        assert not requests._making
        assert requests.of(1, alone(decoder)) is requests.first  # while the other is compiled
        wait_for(requests)
        for threads in (1, 2, 1):
            two_threads(threads)
            decoder.step()
        assert requests.of(1, alone(decoder)).kind == Kind(1, ONE)
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


@pytest.mark.parametrize("number_format", ["fp32", "bf16", "int8"])
@pytest.mark.parametrize("which", ["the base model", "an adapter"])
@pytest.mark.parametrize("model", ["llama", "llama 64 wide"])
def test_what_is_asked_alone_gets_a_graph_of_its_own(
    model, which, number_format, two_threads, early, tmp_path
):
    """Whether a row of weights has whole groups of 32 or not; its logits are those of the first."""
    base = make_base(tmp_path / "base", model)
    with Engine(base, number_format) as engine, torch.inference_mode():
        decoder, adapter = take_decoder(engine), make_adapter(base, tmp_path / "adapter", 1)
        requests = decoder._forward._requests
        name = BASE if which == "the base model" else engine.adapters.load(adapter)
        before = steps(decoder, 12, name)
        wait_for(requests)
        after = steps(decoder, 12, name)
        kind = Kind(2, FIXED, alone(decoder, name).identities)
        assert requests._made[kind].is_proven
        assert engine.merged_adapter == (None if name == BASE else name)
        if number_format == "fp32":
            assert written(before)[0] == written(after)[0]


def test_every_adapter_is_computed_with_its_own_graph(base, adapters, two_threads, early):
    """What the graph of another adapter, or of the base model, would say is never said."""
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        names = [BASE, *map(engine.adapters.load, adapters)]
        expected = [written(steps(decoder, 6, name)) for name in names]
        for fixed in names:
            requests._replaced = 0
            steps(decoder, 12, fixed)
            wait_for(requests)
            assert {kind.use for kind in requests._made} == {ONE, FIXED}
            assert [written(steps(decoder, 6, name)) for name in names] == expected
            assert Kind(2, FIXED, alone(decoder, fixed).identities) in requests._made


def test_the_second_graph_is_for_what_the_last_steps_asked_for(base, adapters, two_threads, early):
    """One after the other takes its place, and each time a graph for one adapter waits longer."""
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        one, another = map(engine.adapters.load, adapters)

        def second_after(count: int, *names: str):
            steps(decoder, count, *names)
            wait_for(requests)
            return requests._second and (requests._second.use, requests.merged_adapter)

        assert second_after(10, one) is None
        assert second_after(11, one) == (FIXED, one)
        assert second_after(2, one, BASE) == (SEVERAL, None)
        assert second_after(19, one) == (SEVERAL, None)
        assert second_after(21, another) == (FIXED, another)
        assert second_after(41, one) == (FIXED, one)
        assert second_after(1, BASE, one) == (SEVERAL, None)


def test_an_adapter_whose_files_have_changed_is_computed_anew(base, adapters, two_threads, early):
    folder, other = adapters
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        expected = written(steps(decoder, 6, engine.adapters.load(other)))
        steps(decoder, 12, engine.adapters.load(folder))
        wait_for(decoder._forward._requests)
        shutil.copy(other / WEIGHTS, folder / WEIGHTS)
        assert written(steps(decoder, 6, engine.adapters.load(folder))) == expected


def test_an_engine_that_may_not_merge_has_none_for_an_adapter(base, adapters, two_threads, early):
    with Engine(base, "fp32", may_merge=False) as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        steps(decoder, 12, engine.adapters.load(adapters[0]))
        assert not decoder._forward._requests._making
        steps(decoder, 12, BASE)
        wait_for(decoder._forward._requests)
        assert decoder._forward._requests._second.use is FIXED


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
        requests.of(2, None)
        wait_for(requests)
        monkeypatch.setattr(requests, "of", noted(requests.of, used))
        beside = steps(decoder, 4, BASE, name)
    assert [one.use for one in used] == [SEVERAL, ONE, ONE, ONE]
    assert "is off by" in caplog.text
    assert written(beside)[0] == written(alone)[0]


def test_one_graph_computes_all_steps_of_a_large_model(base, two_threads, monkeypatch):
    monkeypatch.setattr(infer_requests, "SMALL_BYTES", 1)
    with Engine(base, "fp32") as engine:
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        assert requests.of(2, alone(decoder)) is requests.of(2, None) is requests.first
        assert requests.first.kind == Kind(2, SEVERAL)
        assert not requests._making


def test_without_memory_the_first_graph_computes_all(base, two_threads, monkeypatch):
    with Engine(base, "fp32") as engine:
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        monkeypatch.setattr(infer_requests, "fits_second_copy", lambda _: False)
        for threads, used in ((1, None), (2, None), (1, alone(decoder))):
            assert requests.of(threads, used) is requests.first
        assert not requests._making


def test_once_there_is_memory_again_a_graph_is_made(
    base, adapters, two_threads, early, monkeypatch
):
    """And the one that another would have replaced has stayed."""
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        name = engine.adapters.load(adapters[0])
        steps(decoder, 2, name, BASE)
        wait_for(requests)
        monkeypatch.setattr(infer_requests, "fits_second_copy", lambda _: False)
        steps(decoder, 30, name)
        wait_for(requests)
        assert requests._second.use is SEVERAL
        monkeypatch.setattr(infer_requests, "fits_second_copy", lambda _: True)
        steps(decoder, 30, name)
        assert requests._second.use is SEVERAL  # it was tried just now
        requests._short_until = 0.0
        steps(decoder, 30, name)
        wait_for(requests)
        assert requests._second.use is FIXED


def test_a_graph_that_fails_in_its_first_step_is_left(
    base, adapters, two_threads, early, monkeypatch
):
    """OpenVINO packs the weights only then, and may find no memory for it."""
    infer = infer_requests.StepRequest.infer

    def failing(request, *args):
        if request.kind.use is FIXED:
            raise RuntimeError("no memory")
        return infer(request, *args)

    monkeypatch.setattr(infer_requests.StepRequest, "infer", failing)
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        expected = written(steps(decoder, 12, BASE))
        wait_for(requests)
        assert written(steps(decoder, 12, BASE)) == expected
        assert {kind.use for kind in requests._given_up} == {FIXED}


def test_a_damaged_adapter_costs_no_other_its_graph(base, adapters, two_threads):
    damaged = adapters[0]
    weights = load_file(damaged / WEIGHTS)
    save_file({name: one * torch.nan for name, one in weights.items()}, damaged / WEIGHTS)
    with Engine(base, "fp32") as engine, torch.inference_mode():
        decoder = take_decoder(engine)
        requests = decoder._forward._requests
        bad, good = (engine.adapters.load(folder) for folder in adapters)
        requests.of(2, None)
        wait_for(requests)
        steps(decoder, 4, bad)
        steps(decoder, 4, bad, good)
        assert requests._made[Kind(2, SEVERAL)].is_proven


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
    if requests._making:
        requests._making.join()


def alone(decoder, name: str = BASE):
    """As a step has it that uses nothing else."""
    return decoder._forward._adapters.of_step([name])


def noted(of, used: list[Kind]):
    def noting(threads, alone):
        request = of(threads, alone)
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
