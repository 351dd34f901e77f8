"""Beside other programs a process has a few threads more, so that none waits awake for long."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.worker.engine.test_thread_count import Machine
from worker import thread_waits
from worker.engine.threads import LOOK_SECONDS
from worker.thread_waits import ThreadWaits


class Extra:
    ended = False

    def end(self) -> None:
        self.ended = True


@pytest.fixture
def made(monkeypatch) -> list[Extra]:
    made: list[Extra] = []

    def make() -> Extra:
        made.append(Extra())
        return made[-1]

    monkeypatch.setattr(thread_waits, "_ExtraThreads", make)
    return made


@pytest.mark.parametrize(
    ("most", "cores", "extra"),
    [(2, 2, 1), (4, 4, 1), (2, 4, 3), (3, 8, 3)],  # all are more than the cores, none too many
)
def test_there_are_more_threads_than_processors_while_others_are_busy(made, most, cores, extra):
    machine = Machine()
    waits = ThreadWaits(machine.threads(most, cores))
    waits.follow()
    assert not made
    machine.passes(LOOK_SECONDS, others=cores)
    waits.follow()
    assert len(made) == extra
    assert most + extra * (most - 1) > cores >= most + (extra - 1) * (most - 1)
    machine.passes(LOOK_SECONDS, others=cores)
    waits.follow()
    assert len(made) == extra  # still the same ones
    machine.passes(LOOK_SECONDS, others=0.0)
    waits.follow()
    assert all(one.ended for one in made)


COUNT = """
import os, threading, torch
from worker.thread_waits import _ExtraThreads

def threads():
    return len(os.listdir("/proc/self/task"))

torch.ones(2**22).neg_()
before = threads()
extra = _ExtraThreads()
while threads() < before + 2:
    pass
extra.end()
while threads() > before:
    pass
print("so it is", torch.get_num_threads())
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts the threads of Linux")
def test_an_extra_thread_comes_with_its_helper_and_both_end():
    """In a process of its own, which has no other threads."""
    ended = subprocess.run(
        [sys.executable, "-c", COUNT],
        env=os.environ | {"OMP_NUM_THREADS": "2"},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert ended.stdout.strip() == "so it is 2"


def test_one_thread_waits_for_no_other(monkeypatch):
    monkeypatch.setattr("worker.engine.threads.most_threads", lambda: 1)
    before = threading.active_count()
    thread_waits.follow_load()
    assert threading.active_count() == before
