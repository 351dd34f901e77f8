"""As many threads as other programs leave processors for.

Threads that share a product wait for each other at its end. As soon as one of them has to wait for
a processor itself, all do, at every product: beside one busy program per core, two threads wrote a
quarter or less of what they write alone, one thread half of it
(docs/decisions/0070-serving-threads-follow-the-load.md).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil
import torch

from finetune_app.core.machine import usable_cores

LOOK_SECONDS = 0.25  # processor time is counted in ticks of 10 ms
_FIRST = torch.get_num_threads()  # before any thread asks for fewer


class ThreadCount:
    """How many threads find a processor of their own.

    most: threads on a quiet machine. cores: those that this process may use. clock: seconds.
    busy: processor seconds so far of (all programs, this process) on these cores.
    """

    def __init__(
        self,
        most: int | None = None,
        cores: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        busy: Callable[[], tuple[float, float]] | None = None,
    ) -> None:
        self.most = most or most_threads()
        self.cores = cores or len(_cores())
        self._clock, self._busy = clock, busy or processor_seconds
        self._threads = self.most
        self._looked_at, self._others = clock(), self._of_others()

    def follow(self) -> None:
        """Set the number for what the calling thread computes next. Call it before each step: it
        looks a few times a second."""
        if self.now() != torch.get_num_threads():
            torch.set_num_threads(self._threads)

    def now(self) -> int:
        """At least 1."""
        seconds = self._clock() - self._looked_at
        if self.most > 1 and seconds >= LOOK_SECONDS:
            others = self._of_others()
            free = self.cores - (others - self._others) / seconds
            self._threads = max(1, min(self.most, int(free + 0.5)))
            self._looked_at += seconds
            self._others = others
        return self._threads

    def _of_others(self) -> float:
        everything, ours = self._busy()
        return everything - ours


def most_threads() -> int:
    """On a quiet machine."""
    return min(_FIRST, usable_cores())


def processor_seconds() -> tuple[float, float]:
    """So far, of (all programs on the cores that this process may use, this process). What a
    hypervisor gives to other machines counts, too."""
    times = psutil.cpu_times(percpu=True)
    names = ("user", "nice", "system", "irq", "softirq", "steal")
    usable = [times[core] for core in _cores() if core < len(times)]
    return sum(getattr(one, name, 0.0) for one in usable for name in names), time.process_time()


def _cores() -> list[int]:
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))
