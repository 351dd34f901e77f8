"""Runs work of many callers on a few threads of its own: they take turns, and too much is rejected.

For what would keep chats waiting on the event loop's own threads.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TypeVar
from weakref import WeakValueDictionary

from worker.engine.request_queue import RequestQueue

T = TypeVar("T")


class FairExecutor:
    """Threads behind a queue; used on the event loop only.

    A caller has one thread at a time, and joins the others who wait for one only for its next
    piece of work. So nobody waits for all the work of another caller.
    """

    def __init__(self, threads: int, name: str) -> None:
        self.queue = RequestQueue()
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix=name)
        self._free_threads = asyncio.Semaphore(threads)
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()  # by caller
        self._waiting_since: list[float] = []

    @property
    def wait_seconds(self) -> float:
        """How long the first one in the queue has been waiting."""
        return time.monotonic() - self._waiting_since[0] if self._waiting_since else 0.0

    async def run(
        self, work: Callable[[], T], *, caller: str, places: int = 1, background: bool = False
    ) -> T:
        """The result of `work`, which takes so many places of the queue while it waits and runs.

        Raises QueueFull, and whatever `work` raises.
        """
        with self.queue.places(places, self.wait_seconds, caller=caller, background=background):
            async with AsyncExitStack() as turn:
                since = time.monotonic()
                self._waiting_since.append(since)
                try:
                    await turn.enter_async_context(self._turns.setdefault(caller, asyncio.Lock()))
                    await turn.enter_async_context(self._free_threads)
                finally:
                    self._waiting_since.remove(since)
                return await asyncio.get_running_loop().run_in_executor(self._executor, work)
