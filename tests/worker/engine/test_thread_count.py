"""The engine computes with as many threads as other programs leave processors for."""

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from finetune_app.core.vllm_installation import VllmInstallation
from tests.worker.engine.transformers_reference import ask
from worker.engine.backend_selector import BackendSelector
from worker.engine.compute_thread import ComputeThread
from worker.engine.engine import Engine
from worker.engine.threads import LOOK_SECONDS, ThreadCount, processor_seconds


class Machine:
    """Time passes; others and we are busy on so many cores meanwhile."""

    def __init__(self) -> None:
        self.now = self.others = self.ours = 0.0

    def passes(self, seconds: float, *, others: float, ours: float = 0.0) -> None:
        self.now += seconds
        self.others += others * seconds
        self.ours += ours * seconds

    def threads(self, most: int, cores: int) -> ThreadCount:
        return ThreadCount(
            most, cores, lambda: self.now, lambda: (self.others + self.ours, self.ours)
        )


@pytest.mark.parametrize(
    ("others", "threads"), [(0.0, 4), (0.3, 4), (0.6, 3), (2.0, 2), (3.2, 1), (4.0, 1)]
)
def test_each_thread_has_a_core_that_others_leave_free(others, threads):
    machine = Machine()
    count = machine.threads(most=4, cores=4)
    assert count.now() == 4
    machine.passes(1, others=others, ours=4 - others)
    assert count.now() == threads


def test_what_we_compute_ourselves_leaves_the_number_as_it_is():
    machine = Machine()
    count = machine.threads(most=2, cores=2)
    machine.passes(5, others=0.0, ours=2.0)
    assert count.now() == 2


def test_it_follows_within_a_moment_and_back():
    machine = Machine()
    count = machine.threads(most=2, cores=2)
    machine.passes(LOOK_SECONDS / 2, others=2.0)
    assert count.now() == 2  # not yet
    machine.passes(LOOK_SECONDS / 2, others=2.0)
    assert count.now() == 1
    machine.passes(LOOK_SECONDS, others=0.0)
    assert count.now() == 2


def test_it_never_takes_more_threads_than_it_was_given():
    machine = Machine()
    count = machine.threads(most=2, cores=64)
    machine.passes(1, others=10.0)
    assert count.now() == 2


def test_a_busy_program_is_seen_and_our_own_work_is_not_counted_as_its():
    everything, ours = processor_seconds()
    began = time.monotonic()
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        while time.monotonic() - began < 1:
            pass
    finally:
        loop.kill()
        loop.wait()
    after, ours_after = processor_seconds()
    assert ours_after - ours > 0.1
    assert (after - everything) - (ours_after - ours) > 0.1


def test_only_a_served_model_follows_the_load(base, monkeypatch):
    """On the thread that computes, because the number belongs to a thread. An evaluation does not:
    the same batch is to give the same answers."""
    numbers = []
    monkeypatch.setattr(ThreadCount, "now", lambda self: setattr(self, "_threads", 3) or 3)
    monkeypatch.setattr(
        torch,
        "set_num_threads",
        lambda number: numbers.append((number, threading.current_thread().name)),
    )
    with Engine(base, "fp32", compute=ComputeThread(follow_load=True)) as engine:
        engine.generate([ask("Hello", None, 3)])
    assert numbers[0] == (3, "engine")
    assert {name for _number, name in numbers} == {"engine"}
    numbers.clear()
    with Engine(base, "fp32") as engine:
        engine.generate([ask("Hello", None, 3)])
    assert not numbers


def test_after_a_busy_hour_all_threads_are_used_again(base, monkeypatch):
    """Whoever computes later on another thread begins with the last number that was set."""
    before, compute = torch.get_num_threads(), ComputeThread(follow_load=True)
    compute._threads.most = 3
    for threads in (1, 3):
        monkeypatch.setattr(
            ThreadCount, "now", lambda self, n=threads: setattr(self, "_threads", n) or n
        )
        with Engine(base, "fp32", compute=compute) as engine:
            engine.generate([ask("Hello", None, 3)])
            assert engine.call(torch.get_num_threads) == threads
        with ThreadPoolExecutor(1) as fresh:
            assert fresh.submit(torch.get_num_threads).result() == 3
            fresh.submit(torch.set_num_threads, before).result()
    assert compute._threads.most == 3


def test_the_engine_that_serves_is_opened_so(base, tmp_path, monkeypatch):
    followed = []
    monkeypatch.setattr(ThreadCount, "follow", lambda self: followed.append(True))
    selector = BackendSelector(VllmInstallation(None), tmp_path / "vllm.log")
    with selector.open(base, "fp32") as engine:
        engine.generate([ask("Hello", None, 3)])
    assert followed
