"""One request per second for half an hour while a training runs. Prints tables for
docs/benchmarks/soak.md. SOAK_SECONDS shortens it.

    SOAK_SECONDS=240 python -m pytest -m long -s tests/load/test_soak.py
"""

import asyncio
import os
import time
from collections import Counter

import pytest

from tests.load.api_client import TOKENS, RequestOutcome, send_every_second
from tests.load.conftest import Live, status, train
from tests.load.process_samples import (
    Growth,
    ProcessSample,
    growth_of_each,
    sample,
    sample_repeatedly,
)
from tests.worker.conftest import wait_for

SECONDS = int(os.environ.get("SOAK_SECONDS", "1800"))
ROWS, EPOCHS = 400, 50  # hours of training
# Growth after the warm-up that is not yet a leak. The memory of engine and training depends on the
# length of the texts; a leak of 100 KB per request would be 176 MiB.
MAX_ADDED_MIB = {"engine": 128.0, "training": 512.0}
MAX_ADDED_MIB_ELSEWHERE, MAX_ADDED_FILES = 48.0, 8
IDLE_SECONDS = 8.0  # for idle connections to close

OpenFiles = dict[str, tuple[ProcessSample, ProcessSample]]  # by process: before and after

pytestmark = [pytest.mark.long, pytest.mark.timeout(3 * SECONDS + 2400)]


def test_one_request_a_second_beside_a_training_leaks_nothing(live: Live):
    job = train(live.client, rows=ROWS, epochs=EPOCHS)
    wait_for(lambda: steps_of(live, job) > 0, seconds=1200)
    processes = {name: live.process(name).pid for name in ("web", "engine", "heavy")}
    before = steps_of(live, job)
    outcomes, samples, open_files = asyncio.run(soak(live))
    steps = steps_of(live, job) - before
    print(tables(outcomes, samples, open_files, steps), flush=True)
    assert status(live.client, job) == "running"
    live.client.fine_tuning.jobs.cancel(job)
    assert not [one for one in outcomes if one.failed]
    assert all(one.retry_after for one in outcomes if one.status == 429)
    assert sum(one.complete for one in outcomes) > 0
    assert steps > 0, "the training made no progress"
    assert processes == {name: live.process(name).pid for name in processes}, "one was restarted"
    for one in growth_of_each(samples):
        assert one.added_memory < MAX_ADDED_MIB.get(one.name, MAX_ADDED_MIB_ELSEWHERE), one
    for name, (earlier, later) in open_files.items():
        assert later.files - earlier.files < MAX_ADDED_FILES, (name, earlier, later)
        assert later.sockets - earlier.sockets < MAX_ADDED_FILES, (name, earlier, later)


async def soak(live: Live) -> tuple[list[RequestOutcome], list[ProcessSample], OpenFiles]:
    """Outcomes of the requests, samples of processes, and open files before and after."""
    await send_every_second(live, 2)
    earlier = await sample_idle(live)
    sampling = asyncio.create_task(sample_repeatedly(live))
    outcomes = await send_every_second(live, SECONDS)
    sampling.cancel()
    later = await sample_idle(live)
    open_files = {name: (one, later[name]) for name, one in earlier.items() if name in later}
    return outcomes, await sampling, open_files


async def sample_idle(live: Live) -> dict[str, ProcessSample]:
    """Open files and sockets of each process while idle."""
    await asyncio.sleep(IDLE_SECONDS)
    return {one.name: one for one in sample(live, 0.0)}


def steps_of(live: Live, job: str) -> int:
    """Steps of the training so far."""
    time.sleep(0.5)  # as in status
    newest = live.client.fine_tuning.jobs.list_events(job, limit=1).data[0]
    return int((newest.data or {}).get("step") or 0)


# ---- Report ----


def tables(
    outcomes: list[RequestOutcome], samples: list[ProcessSample], open_files: OpenFiles, steps: int
) -> str:
    answered = [one for one in outcomes if one.complete]
    tokens = sum(one.tokens for one in answered)
    summary = (
        f"{len(outcomes)} requests in {SECONDS} s, one a second, {TOKENS} tokens at most; "
        f"{tokens:,} tokens written; the training took {steps} steps meanwhile"
    )
    return "\n".join(
        [
            "",
            summary + "; files and sockets while idle, before and after",
            "",
            "| outcome | count |",
            "|---|---|",
            *(
                f"| {word} | {count} |"
                for word, count in Counter(map(describe_outcome, outcomes)).most_common()
            ),
            "",
            "| seconds | 50 % | 95 % | max |",
            "|---|---|---|---|",
            row(
                "first text (streamed)",
                [one.first_seconds for one in answered if one.first_seconds],
            ),
            row("complete answer", [one.seconds for one in answered]),
            row("rejection (429)", [one.seconds for one in outcomes if one.status == 429]),
            "",
            "| process | MiB after the warm-up | at the end | max | open files | sockets |",
            "|---|---|---|---|---|---|",
            *(process_row(one, open_files) for one in growth_of_each(samples)),
        ]
    )


def describe_outcome(one: RequestOutcome) -> str:
    if one.complete:
        return "answered, streamed" if one.streamed else "answered, whole"
    code = (one.error or {}).get("code") or (one.error or {}).get("message")
    return f"{one.status} {code}"


def row(name: str, seconds: list[float]) -> str:
    if not seconds:
        return f"| {name} | - | - | - |"
    ordered = sorted(seconds)
    middle, slow = (ordered[int(share * (len(ordered) - 1))] for share in (0.5, 0.95))
    return f"| {name} | {middle:.2f} | {slow:.2f} | {ordered[-1]:.2f} |"


def process_row(one: Growth, open_files: OpenFiles) -> str:
    cells = [f"{one.memory[0]:.0f}", f"{one.memory[1]:.0f}", f"{one.peak:.0f}"]
    if one.name in open_files:
        earlier, later = open_files[one.name]
        cells += [f"{earlier.files}, {later.files}", f"{earlier.sockets}, {later.sockets}"]
    return f"| {one.name} | " + " | ".join(cells) + " |"
