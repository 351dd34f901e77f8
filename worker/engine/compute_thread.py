"""The thread on which the models of a process compute, in turns of one step each.

Every thread that computes gets OpenMP helpers of its own (libgomp). As soon as a process has more
of them than processors, they sleep after each product: beside a model on another thread, a step for
one sequence took 1.6 times as long. So there is one such thread; loading and embedding use others,
which end with their work.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Protocol, TypeVar

import torch

from worker.engine.threads import ThreadCount

# An idle thread waits this long for the second of several requests before the first step. So the
# candidates or choices of one call begin together, and the same call gives the same batch again.
GATHER_SECONDS = 0.02

T = TypeVar("T")

log = logging.getLogger(__name__)


class Computing(Protocol):
    """What computes on a `ComputeThread`."""

    @property
    def has_work(self) -> bool: ...
    @property
    def may_gather(self) -> bool:
        """Whether all of its work is one request of several that come together."""

    def take_turn(self) -> None:
        """Do one step."""


class ComputeThread:
    """Exists while something computes on it.

    wake: guards the work of all that compute here; notify it of new work.
    follow_load: compute with as many threads as other programs leave processors for. In bf16 that
        can change an answer.
    """

    def __init__(self, *, follow_load: bool = False) -> None:
        self.wake = threading.Condition()
        # Once: what a later thread begins with is what the last one has set.
        self._threads = ThreadCount() if follow_load else None
        self._models: list[Computing] = []
        self._in_turn: Computing | None = None
        self._thread: threading.Thread | None = None

    def add(self, model: Computing) -> None:
        with self.wake:
            self._models.append(model)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
                self._thread.start()
            self.wake.notify_all()

    def remove(self, model: Computing) -> None:
        """It takes no more turns; waits for the end of the one under way."""
        ending = None
        with self.wake:
            if model in self._models:
                self._models.remove(model)
            if not self._models:
                ending, self._thread = self._thread, None
            self.wake.notify_all()
            self.wake.wait_for(lambda: self._in_turn is not model)
        if ending:
            ending.join()

    @torch.inference_mode()
    def _run(self) -> None:
        while self._take_turns():
            pass
        if self._threads:  # threads that are started later would begin with the last number
            torch.set_num_threads(self._threads.most)

    def _take_turns(self) -> bool:
        """One each of those that have something to do; False when the thread is to end. Keeps none
        of them in memory while it waits."""
        models = self._wait_for_work()
        if models is None:
            return False
        try:
            if self._threads:
                self._threads.follow()
        except Exception:
            log.exception("the number of threads stays as it is")
        for model in models:
            if self._begin_turn(model):
                try:
                    model.take_turn()
                except Exception:
                    log.exception("a model broke down")
                finally:
                    self._end_turn()
        return True

    def _wait_for_work(self) -> list[Computing] | None:
        """Those that have something to do, as soon as there are some; None when it is to end."""
        with self.wake:
            if not self._busy() and not self._has_ended:
                self.wake.wait_for(lambda: self._busy() or self._has_ended)
                busy = self._busy()
                if len(busy) == 1 and busy[0].may_gather:
                    self.wake.wait(GATHER_SECONDS)
            return None if self._has_ended else self._busy()

    @property
    def _has_ended(self) -> bool:
        return self._thread is not threading.current_thread()

    def _busy(self) -> list[Computing]:
        return [model for model in self._models if model.has_work]

    def _begin_turn(self, model: Computing) -> bool:
        with self.wake:
            if model not in self._models:
                return False
            self._in_turn = model
            return True

    def _end_turn(self) -> None:
        with self.wake:
            self._in_turn = None
            self.wake.notify_all()


def on_thread_that_ends(work: Callable[[], T]) -> T:
    """What `work` returns or raises, on a thread whose OpenMP helpers end with it."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    thread = threading.Thread(target=run, name="engine-load", daemon=True)
    thread.start()
    thread.join()
    return future.result()
