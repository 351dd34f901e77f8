"""Beside other programs a process has one thread more, so that none waits awake for long."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from finetune_app.core import machine as machine_module
from tests.worker.engine.test_thread_count import Machine
from worker import thread_waits
from worker.engine.threads import LOOK_SECONDS
from worker.thread_waits import ThreadWaits


def test_there_is_one_thread_more_while_others_are_busy(monkeypatch):
    class Extra:
        made = ended = 0

        def __init__(self) -> None:
            Extra.made += 1

        def end(self) -> None:
            Extra.ended += 1

    monkeypatch.setattr(thread_waits, "ExtraThread", Extra)
    machine = Machine()
    waits = ThreadWaits(machine.threads(most=2, cores=2))
    waits.follow()
    assert (Extra.made, Extra.ended) == (0, 0)
    for _ in range(2):
        machine.passes(LOOK_SECONDS, others=2)
        waits.follow()
        assert (Extra.made, Extra.ended) == (1, 0)
    machine.passes(LOOK_SECONDS, others=0)
    waits.follow()
    assert (Extra.made, Extra.ended) == (1, 1)


@pytest.mark.parametrize(
    ("system", "most", "cores", "matter"),
    [
        ("linux", 2, 2, True),
        ("linux", 1, 1, False),  # waits for no other
        ("linux", 2, 64, False),  # a container with a quota: waits are short there, see below
        ("darwin", 2, 2, False),  # another OpenMP
    ],
)
def test_waits_matter_where_threads_fill_the_processors(monkeypatch, system, most, cores, matter):
    monkeypatch.setattr("sys.platform", system)
    assert ThreadWaits(Machine().threads(most, cores)).matter == matter


@pytest.mark.parametrize(("cores", "turns"), [(4, "5000"), (2, "1000")])
def test_with_a_quota_all_waits_are_short(monkeypatch, cores, turns):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    monkeypatch.setattr(machine_module, "usable_cores", lambda: cores)
    assert machine_module.training_environment()["GOMP_SPINCOUNT"] == turns


COUNT = """
import os, torch
from worker.thread_waits import ExtraThread

def threads():
    return len(os.listdir("/proc/self/task"))

torch.ones(2**22).neg_()
before = threads()
extra = ExtraThread()
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
