"""One request per second for half an hour while a training runs. Prints tables for
docs/benchmarks/soak.md. SOAK_SECONDS shortens it.

    SOAK_SECONDS=240 python -m pytest -m long -s tests/load/test_soak.py
"""

import asyncio
import os
import time
from collections import Counter

import pytest

from tests.load.api_client import TOKENS, Asked, once_a_second
from tests.load.conftest import Live, status, train
from tests.load.watching import Growth, ProcessSample, growths, look, watch
from tests.worker.conftest import wait_for

SECONDS = int(os.environ.get("SOAK_SECONDS", "1800"))
ROWS, EPOCHS = 400, 50  # hours of training
# MiB that a process may grow by after the warm-up without it being a leak. The memory of engine and
# training depends on the length of the texts; 100 KB per request would be 176.
MORE_MEMORY = {"engine": 128.0, "training": 512.0}
MORE_ELSEWHERE, MORE_FILES = 48.0, 8
REST = 8.0  # seconds for idle connections to close

Left = dict[str, tuple[ProcessSample, ProcessSample]]  # by process: before and after

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * SECONDS + 2400)]


def test_half_an_hour_at_one_request_a_second_while_a_training_runs(live: Live):
    job = train(live.client, rows=ROWS, epochs=EPOCHS)
    wait_for(lambda: steps_of(live, job) > 0, seconds=1200)
    processes = {name: live.process(name).pid for name in ("web", "engine", "heavy")}
    before = steps_of(live, job)
    asked, looks, left = asyncio.run(soak(live))
    steps = steps_of(live, job) - before
    print(tables(asked, looks, left, steps), flush=True)
    assert status(live.client, job) == "running"
    live.client.fine_tuning.jobs.cancel(job)
    assert not [one for one in asked if one.went_wrong]
    assert all(one.retry_after for one in asked if one.status == 429)
    assert sum(one.ended for one in asked) > 0
    assert steps > 0, "the training stood still"
    assert processes == {name: live.process(name).pid for name in processes}, (
        "one was started again"
    )
    for one in growths(looks):
        assert one.more_memory < MORE_MEMORY.get(one.name, MORE_ELSEWHERE), one
    for name, (earlier, later) in left.items():
        assert later.files - earlier.files < MORE_FILES, (name, earlier, later)
        assert later.sockets - earlier.sockets < MORE_FILES, (name, earlier, later)


async def soak(live: Live) -> tuple[list[Asked], list[ProcessSample], Left]:
    """Outcomes of the requests, samples of processes, and open files before and after."""
    await once_a_second(live, 2)
    earlier = await at_rest(live)
    watching = asyncio.create_task(watch(live))
    asked = await once_a_second(live, SECONDS)
    watching.cancel()
    later = await at_rest(live)
    left = {name: (one, later[name]) for name, one in earlier.items() if name in later}
    return asked, await watching, left


async def at_rest(live: Live) -> dict[str, ProcessSample]:
    """Open files and sockets of each process while idle."""
    await asyncio.sleep(REST)
    return {one.name: one for one in look(live, 0.0)}


def steps_of(live: Live, job: str) -> int:
    """Steps of the training so far."""
    time.sleep(0.5)  # as in status
    newest = live.client.fine_tuning.jobs.list_events(job, limit=1).data[0]
    return int((newest.data or {}).get("step") or 0)


# ---- Report ----


def tables(asked: list[Asked], looks: list[ProcessSample], left: Left, steps: int) -> str:
    answered = [one for one in asked if one.ended]
    tokens = sum(one.tokens for one in answered)
    said = (
        f"{len(asked)} requests in {SECONDS} s, one a second, {TOKENS} tokens at most; "
        f"{tokens:,} tokens written; the training took {steps} steps meanwhile"
    )
    return "\n".join(
        [
            "",
            said + "; files and sockets as nobody asked, before and after",
            "",
            "| became of them | how many |",
            "|---|---|",
            *(f"| {word} | {count} |" for word, count in Counter(map(fate, asked)).most_common()),
            "",
            "| seconds | 50 % | 95 % | most |",
            "|---|---|---|---|",
            row("until the first piece (streamed)", [one.first for one in answered if one.first]),
            row("whole answer", [one.whole for one in answered]),
            row("until refused (429)", [one.whole for one in asked if one.status == 429]),
            "",
            "| process | MiB after the warm-up | at the end | most | open files | sockets |",
            "|---|---|---|---|---|---|",
            *(process_row(one, left) for one in growths(looks)),
        ]
    )


def fate(one: Asked) -> str:
    if one.ended:
        return "answered, streamed" if one.streamed else "answered, whole"
    code = (one.error or {}).get("code") or (one.error or {}).get("message")
    return f"{one.status} {code}"


def row(name: str, seconds: list[float]) -> str:
    if not seconds:
        return f"| {name} | - | - | - |"
    ordered = sorted(seconds)
    middle, slow = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
    return f"| {name} | {middle:.2f} | {slow:.2f} | {ordered[-1]:.2f} |"


def process_row(one: Growth, left: Left) -> str:
    cells = [f"{one.memory[0]:.0f}", f"{one.memory[1]:.0f}", f"{one.most:.0f}"]
    if one.name in left:
        earlier, later = left[one.name]
        cells += [f"{earlier.files}, {later.files}", f"{earlier.sockets}, {later.sockets}"]
    return f"| {one.name} | " + " | ".join(cells) + " |"
