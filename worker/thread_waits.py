"""How long threads that share a product wait awake for each other: briefly beside other programs.

Between two operations libgomp's threads wait in a loop, for GOMP_SPINCOUNT turns, and then sleep.
To wake one that sleeps takes longer than many operations of a small model. But one that waits awake
for another that finds no processor keeps this processor from it. The number of turns is read once,
when a process starts; only where a process has more such threads than processors is it 100
(libgomp's manual, GOMP_SPINCOUNT). So while others are busy there is one thread more, with helpers
of its own, which computes nothing.

Why not fewer threads, as in the engine: docs/decisions/0090-long-waits-alone.md.
"""

import sys
import threading
import time

import torch

from worker.engine.threads import LOOK_SECONDS, ThreadCount

SHARED_ELEMENTS = 2**20  # of an operation that torch computes with all its threads


class ThreadWaits:
    """Follows what other programs do, where as many threads compute as there are processors."""

    def __init__(self, load: ThreadCount | None = None) -> None:
        self._load = load or ThreadCount()
        self._extra: ExtraThread | None = None

    @property
    def matter(self) -> bool:
        """Whether a thread waits for another, on a system whose torch comes with libgomp. In a
        container that may use only a part of its processors all waits are short anyway."""
        return sys.platform == "linux" and 1 < self._load.most == self._load.cores

    def follow(self) -> None:
        """Call it a few times a second."""
        others_are_busy = self._load.now() < self._load.most
        if others_are_busy and not self._extra:
            self._extra = ExtraThread()
        elif self._extra and not others_are_busy:
            self._extra.end()
            self._extra = None


def follow_load() -> None:
    """From now on, until this process ends."""
    waits = ThreadWaits()
    if waits.matter:
        threading.Thread(target=_follow, args=(waits,), name="follow load", daemon=True).start()


def _follow(waits: ThreadWaits) -> None:
    while True:
        time.sleep(LOOK_SECONDS)
        waits.follow()


class ExtraThread:
    """A thread that has computed something once, and keeps the helpers that it got for that. These
    count for libgomp; the thread itself does not."""

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
