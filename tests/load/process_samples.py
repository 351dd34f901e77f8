"""Samples the private memory, open files and sockets of each process of an installation."""

import asyncio
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

from tests.load.conftest import PROCESSES, Live

INTERVAL_SECONDS = 10.0
WARM_UP_SHARE = 0.25  # share of the samples in which caches fill
MIB = 1024**2


@dataclass(frozen=True)
class ProcessSample:
    """A sample of one process `at` seconds from the start. `memory`: private MiB."""

    name: str
    pid: int
    at: float
    memory: float
    files: int
    sockets: int


@dataclass(frozen=True)
class Growth:
    """Growth of one process after the warm-up: median MiB of the first and the last quarter."""

    name: str
    memory: tuple[float, float]
    peak: float  # MiB

    @property
    def added_memory(self) -> float:
        return self.memory[1] - self.memory[0]


async def sample_repeatedly(live: Live) -> list[ProcessSample]:
    """Take samples until cancelled."""
    started_at, samples = time.monotonic(), []
    try:
        while True:
            samples += await asyncio.to_thread(
                lambda: list(sample(live, time.monotonic() - started_at))
            )
            await asyncio.sleep(INTERVAL_SECONDS)
    except asyncio.CancelledError:
        return samples


def sample(live: Live, at: float) -> Iterator[ProcessSample]:
    for name in PROCESSES:
        for one in live.processes(name):  # none for a broker of its own
            yield from _of(name, one, at)
    for number, one in enumerate(live.process("web").children(), start=1):
        yield from _of(f"web {number}", one, at)
    for one in live.process("heavy").children(recursive=True):
        training = "worker.child" in " ".join(one.cmdline())
        yield from _of("training" if training else "supervisor", one, at)


def _of(name: str, process: psutil.Process, at: float) -> Iterator[ProcessSample]:
    try:
        with process.oneshot():
            memory = process.memory_full_info().uss / MIB
            files, sockets = process.num_fds(), len(process.net_connections("all"))
    except psutil.NoSuchProcess:
        return  # it ended during the sample
    yield ProcessSample(name, process.pid, at, memory, files, sockets)


def growth_of_each(samples: list[ProcessSample]) -> list[Growth]:
    """Growth of each process that ran the whole time."""
    last = max(one.at for one in samples)
    found = []
    for name, pid in dict.fromkeys((one.name, one.pid) for one in samples):
        of_process = [one for one in samples if one.pid == pid]
        warm = [one for one in of_process if one.at >= WARM_UP_SHARE * last]
        if (
            of_process[0].at > WARM_UP_SHARE * last
            or of_process[-1].at < last - 3 * INTERVAL_SECONDS
            or len(warm) < 4
        ):
            continue
        part = max(1, len(warm) // 4)
        first, then = (
            statistics.median(one.memory for one in some) for some in (warm[:part], warm[-part:])
        )
        found.append(Growth(name, (first, then), max(one.memory for one in of_process)))
    return found
