"""The child by itself: what it says, when it dies."""

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.worker.conftest import wait_for
from worker import boot_clock
from worker.child import LOST, NICENESS, ORPHAN, explain, plain


class Pipe:
    """A child, as the test's own."""

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

    def order(self, *, lease: float = 30.0, age: float = 0.0, lock: str = "lock", **spec) -> None:
        self.send(
            kind="count-heavy",
            runner="tests.worker.counting.runner",
            folder=str(self.folder),
            spec={"steps": 3, "pause": 0.02} | spec,
            lease=lease,
            at=boot_clock.seconds() - age,
            lock=str(self.folder / lock),
        )

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.process.stdout]

    def steps(self) -> int:
        notes = self.folder / "steps.txt"
        return len(notes.read_text().splitlines()) if notes.exists() else 0


@pytest.fixture
def child(tmp_path) -> Iterator[Callable[..., Pipe]]:
    made: list[Pipe] = []

    def make(*arguments: str) -> Pipe:
        made.append(Pipe(tmp_path, *arguments))
        return made[-1]

    yield make
    for one in made:
        one.process.kill()
        one.process.wait()
        one.process.stdin.close()
        one.process.stdout.close()


def test_it_tells_its_phases_progress_and_result(child):
    one = child()
    one.order()
    events = one.events()
    assert [event["event"] for event in events][:2] == ["phase", "progress"]
    assert events[-1] == {"event": "result", "steps": 3, "stopped": False}
    assert one.process.wait(5) == 0


def test_a_spare_has_imported_before_the_job_comes_and_takes_it_then(child):
    one = child("--warm", "0", "json")
    time.sleep(0.3)
    one.order()
    assert one.events()[-1]["event"] == "result"


def test_a_spare_that_is_not_needed_ends_quietly(child):
    one = child("--warm", "0", "json")
    one.process.stdin.close()
    assert one.process.wait(5) == 0


def test_heavy_work_lets_live_answers_go_first(child, monkeypatch):
    monkeypatch.delenv("FINETUNE_NICENESS")
    mine = psutil.Process().nice()
    light, heavy = (
        psutil.Process(one.process.pid) for one in (child(), child("--warm", "0", "json"))
    )
    wait_for(lambda: heavy.nice() == min(19, mine + NICENESS))
    assert light.nice() == mine


def test_it_dies_when_its_supervisor_closes_the_pipe(child):
    one = child()
    one.order(steps=1000)
    wait_for(one.steps)
    one.process.stdin.close()
    assert one.process.wait(5) == ORPHAN


def test_it_ends_itself_when_no_beat_comes(child):
    one = child()
    one.order(steps=1000, lease=1.0)
    assert one.process.wait(5) == -14
    assert one.events()[-1]["event"] != "result"


def test_beats_keep_it_alive_beyond_one_lease(child):
    one = child()
    one.order(steps=40, pause=0.05, lease=0.8)
    while one.process.poll() is None:
        one.send(command="beat", at=boot_clock.seconds())
        time.sleep(0.1)
    assert one.process.returncode == 0


def test_a_beat_that_was_long_on_its_way_does_not_prolong_the_lease(child):
    one = child()
    one.order(steps=1000, lease=30)
    wait_for(one.steps)
    one.send(command="beat", at=boot_clock.seconds() - 30)
    assert one.process.wait(5) == LOST


def test_stop_saves_and_says_so(child):
    one = child()
    one.order(steps=1000)
    wait_for(one.steps)
    one.send(command="stop")
    result = one.events()[-1]
    assert (result["event"], result["stopped"]) == ("result", True)
    assert (one.folder / "saved").read_text() == str(result["steps"])


def test_a_second_child_waits_until_the_first_is_gone(child):
    first, second = child(), child()
    first.order(steps=1000)
    wait_for(first.steps)
    second.order(steps=1)
    time.sleep(0.3)
    assert second.process.poll() is None
    first.process.kill()
    assert second.events()[-1]["event"] == "result"


def test_numbers_that_json_has_not_become_none():
    assert plain({"text": "a\0b"}) == {"text": "a␀b"}  # PostgreSQL keeps no NUL
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
def test_errors_of_libraries_are_put_in_plain_words(error, code):
    found, message = explain(error)
    assert found == code
    assert message.endswith(".")
