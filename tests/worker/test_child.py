"""The child process without a supervisor: its events, its exit."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest

from finetune_app.core.environment import NICENESS
from finetune_app.core.machine import bound_cores, usable_cores
from tests.worker.conftest import wait_for
from worker import boot_clock
from worker.child import LOST, ORPHAN, explain, plain
from worker.warm_child import LIBRARIES


class ChildProcess:
    """A child and its pipes."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "worker.child", str(os.getpid()), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def send(self, **value: Any) -> None:
        self.process.stdin.write(json.dumps(value) + "\n")
        self.process.stdin.flush()

    def send_order(
        self,
        *,
        lease: float = 30.0,
        age: float = 0.0,
        lock: str = "lock",
        runner: str = "tests.worker.counting.runner",
        **spec,
    ) -> None:
        self.send(
            kind="count-heavy",
            runner=runner,
            folder=str(self.folder),
            spec={"steps": 3, "pause": 0.02} | spec,
            lease=lease,
            at=boot_clock.seconds() - age,
            request_id="",
            job_id=1,
            lock=str(self.folder / lock),
        )

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.stdout]

    def steps(self) -> int:
        steps_file = self.folder / "steps.txt"
        return len(steps_file.read_text().splitlines()) if steps_file.exists() else 0


@pytest.fixture
def child(tmp_path) -> Iterator[Callable[..., ChildProcess]]:
    made: list[ChildProcess] = []

    def make(*arguments: str) -> ChildProcess:
        made.append(ChildProcess(tmp_path, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()
        with suppress(BrokenPipeError):
            one.process.stdin.close()
        one.process.stdout.close()


def test_a_child_sends_phases_progress_and_its_result(child):
    one = child()
    one.send_order()
    events = one.events()
    assert [event["event"] for event in events][:2] == ["phase", "progress"]
    assert events[-1] == {"event": "result", "steps": 3, "stopped": False}
    assert one.process.wait(5) == 0


def test_a_warm_child_runs_the_job_that_it_gets_later(child):
    one = child("--warm", "0", "json")
    time.sleep(0.3)
    one.send_order()
    assert one.events()[-1]["event"] == "result"


def test_closing_the_pipe_of_an_unused_warm_child_exits_with_0(child):
    one = child("--warm", "0", "json")
    one.process.stdin.close()
    assert one.process.wait(5) == 0


def test_a_warm_child_runs_at_low_priority(child, monkeypatch):
    monkeypatch.delenv("FINETUNE_NICENESS")
    mine = psutil.Process().nice()
    light, heavy = (
        psutil.Process(one.process.pid) for one in (child(), child("--warm", "0", "json"))
    )
    wait_for(lambda: heavy.nice() == min(19, mine + NICENESS))
    assert light.nice() == mine


@pytest.mark.skipif(
    sys.platform != "linux" or not 1 < usable_cores() == bound_cores(),
    reason="needs two processors of Linux that are wholly ours",
)
def test_the_threads_of_a_heavy_child_follow_the_load(child, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", str(usable_cores()))
    assert "worker.thread_waits" in LIBRARIES
    found = []
    for arguments in ([], ["--warm", "0", "worker.thread_waits"]):
        one = child(*arguments)
        one.send_order(runner="tests.worker.thread_names")
        found.append("follow load" in one.events()[-1]["threads"])
    assert found == [False, True]


def test_closing_the_pipe_ends_the_child(child):
    one = child()
    one.send_order(steps=1000)
    wait_for(one.steps)
    one.process.stdin.close()
    assert one.process.wait(5) == ORPHAN


def test_a_child_without_heartbeats_ends_itself(child):
    one = child()
    one.send_order(steps=1000, lease=30)
    wait_for(one.steps)
    one.send(command="beat", at=boot_clock.seconds() - 23.5)  # half a second is left of 0.8 * 30
    assert one.process.wait(5) == -14
    assert one.events()[-1]["event"] != "result"


def test_heartbeats_extend_the_lease(child):
    one = child()
    one.send_order(steps=70, pause=0.05, lease=2.0)
    with suppress(BrokenPipeError):  # it ends between a look at it and a beat
        while one.process.poll() is None:
            one.send(command="beat", at=boot_clock.seconds())
            time.sleep(0.1)
    assert one.process.wait(5) == 0


def test_a_late_heartbeat_does_not_extend_the_lease(child):
    one = child()
    one.send_order(steps=1000, lease=30)
    wait_for(one.steps)
    one.send(command="beat", at=boot_clock.seconds() - 30)
    assert one.process.wait(5) == LOST


def test_stop_saves_the_result_so_far(child):
    one = child()
    one.send_order(steps=1000)
    wait_for(one.steps)
    one.send(command="stop")
    result = one.events()[-1]
    assert (result["event"], result["stopped"]) == ("result", True)
    assert (one.folder / "saved").read_text() == str(result["steps"])


def test_a_second_child_waits_until_the_first_has_ended(child):
    first, second = child(), child()
    first.send_order(steps=1000)
    wait_for(first.steps)
    second.send_order(steps=1)
    time.sleep(0.3)
    assert second.process.poll() is None
    first.process.kill()
    assert second.events()[-1]["event"] == "result"


def test_plain_replaces_values_that_json_or_the_database_rejects():
    assert plain({"text": "a\0b", "half \ud800": "\ud83d"}) == {"text": "a␀b", "half �": "�"}
    assert plain({"loss": math.nan, "rate": [math.inf, 1.5, True]}) == {
        "loss": None,
        "rate": [None, 1.5, True],
    }


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (MemoryError(), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (OSError(28, "No space left on device"), "no_disk"),
        (ValueError("x"), "crash"),
    ],
)
def test_unexpected_errors_get_a_code_and_a_message(error, code):
    found, message = explain(error)
    assert found == code
    assert message.endswith(".")
