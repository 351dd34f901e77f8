"""How long threads that share a product wait awake for each other: briefly beside other programs.

Between two operations libgomp's threads wait in a loop, for GOMP_SPINCOUNT turns, and then sleep.
To wake one that sleeps takes longer than many operations of a small model. But one that waits awake
for another that finds no processor keeps this processor from it. The number of turns is read once,
when a process starts; only where a process has more such threads than processors is it 100
(libgomp's manual, GOMP_SPINCOUNT). So while others are busy there are a few threads more, which
compute nothing.

Why not fewer threads, as in the engine: docs/decisions/0090-long-waits-alone.md.
"""

import threading
import time

import torch

from worker.engine.threads import LOOK_SECONDS, ThreadCount

SHARED_ELEMENTS = 2**20  # of an operation that torch computes with all its threads


class ThreadWaits:
    """Follows what other programs do."""

    def __init__(self, load: ThreadCount | None = None) -> None:
        self._load = load or ThreadCount()
        self._extra: list[_ExtraThreads] = []

    def follow(self) -> None:
        """Call it a few times a second."""
        others_are_busy = self._load.now() < self._load.most
        if others_are_busy and not self._extra:
            self._extra = [_ExtraThreads() for _ in range(self._missing())]
        elif not others_are_busy:
            for extra in self._extra:
                extra.end()
            self._extra = []

    def _missing(self) -> int:
        """So many threads that compute, each with its helpers, are more than the processors."""
        helpers = self._load.most - 1
        return (self._load.cores - self._load.most) // helpers + 1


def follow_load() -> None:
    """From now on, until this process ends."""
    load = ThreadCount()
    if load.most > 1:  # else no thread waits for another
        threading.Thread(target=_follow, args=(ThreadWaits(load),), daemon=True).start()


def _follow(waits: ThreadWaits) -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        waits.follow()


class _ExtraThreads:
    """A thread that has computed something once, and the helpers it got for that."""

    def __init__(self) -> None:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._stay, daemon=True)
        self._thread.start()

    def _stay(self) -> None:
        torch.ones(SHARED_ELEMENTS)
        self._over.wait()

    def end(self) -> None:
        self._over.set()
        self._thread.join()
