"""Which model lives in this process: one at a time, fetched when asked, sent away when idle."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psutil

from finetune_app.core import vllm
from worker.engine.serving import Choice, Serving, Unfit

log = logging.getLogger(__name__)


class Busy(Exception):
    """Too many are before you; try again in `retry_after` seconds."""

    retry_after = 5


class NotAllowed(ValueError):
    """A folder outside the data folder was named."""


class House:
    """One model, many guests. All of it runs on the event loop; only loading leaves it.

    data: only folders below it may be read. queue_limit: most requests running or waiting.
    idle_unload: seconds without a request after which the model is dropped. patience: once
    somebody has waited so many seconds for a place, nobody is let in behind them: a no at once is
    worth more than an answer in minutes. choice: which engine serves.
    """

    def __init__(
        self,
        data: Path,
        queue_limit: int = 64,
        idle_unload: float = 600.0,
        patience: float = 10.0,
        choice: Choice | None = None,
    ) -> None:
        self.data = data.resolve()
        self.queue_limit, self.idle_unload, self.patience = queue_limit, idle_unload, patience
        self.choice = choice or Choice(vllm.find(), self.data / "logs" / "vllm.log")
        self.engine: Serving | None = None
        self._asked_format = ""
        self._guests = 0
        self._expected = 0
        self._used_at = time.monotonic()
        self._gate = asyncio.Lock()
        self._empty = asyncio.Event()  # set while there is no guest
        self._empty.set()

    def folder(self, name: object) -> Path:
        """An absolute folder below the data folder. Raises NotAllowed."""
        path = Path(str(name))
        if path.is_absolute():
            real = path.resolve()
            if real.is_relative_to(self.data) and real.is_dir():
                return real
        raise NotAllowed("Models and adapters are only read from Finetune's own data folder.")

    @asynccontextmanager
    async def stay(
        self,
        base: Path,
        number_format: str,
        lanes: int,
        ready: Callable[[Serving], None] = lambda _engine: None,
    ) -> AsyncIterator[Serving]:
        """Use a model for `lanes` requests; another one waits until the present guests left.

        ready: makes what the requests need, on another thread; where vLLM cannot, our own engine is
        fetched and does. Raises Busy, BadModel, and what `ready` raises.
        """
        overdue = self.engine is not None and self.engine.waited > self.patience
        if overdue or self._expected + lanes > self.queue_limit:
            raise Busy
        self._expected += lanes
        try:
            engine = await self._enter(base, number_format, ready)
            try:
                yield engine
            finally:
                self._leave()
        finally:
            self._expected -= lanes

    async def _enter(
        self, base: Path, number_format: str, ready: Callable[[Serving], None]
    ) -> Serving:
        while True:
            async with self._gate:  # first come, first served: nobody overtakes a change of model
                if not self._at_home(base, number_format):
                    await self._empty.wait()
                    await self._fetch(base, number_format)
                self._guests += 1
                self._empty.clear()
            engine = self.engine
            assert engine is not None
            try:
                await asyncio.to_thread(ready, engine)
            except Unfit as why:
                self._leave()
                self.choice.refuse(base, str(why))
            except BaseException:
                self._leave()
                raise
            else:
                return engine

    async def unload(self) -> bool:
        """Drop the model unless somebody uses it; says whether nothing is loaded now."""
        if self._guests == 0 and not self._gate.locked():
            async with self._gate:
                await self._drop()
        return self.engine is None

    async def watch_idleness(self) -> None:
        """Runs for ever: drops a model that nobody has asked for a while."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload))
            if self.engine and time.monotonic() - self._used_at > self.idle_unload:
                await self.unload()

    def health(self) -> dict[str, Any]:
        """What is loaded, what serves it, the memory of that (bytes), how long the queue is."""
        engine = self.engine
        return {
            "base_model": str(engine.folder) if engine else None,
            "number_format": engine.number_format if engine else None,
            "engine": engine.kind if engine else None,
            "why_not_vllm": self.choice.why_not(engine.folder if engine else None),
            "adapters": engine.held if engine else [],
            "merged": engine.merged if engine else None,
            "memory_bytes": psutil.Process().memory_info().rss
            + (engine.memory_bytes if engine else 0),
            "queue": self._expected,
            "queue_limit": self.queue_limit,
        }

    def _at_home(self, base: Path, number_format: str) -> bool:
        if self.engine is None or self.engine.folder != base:
            return False
        if self.engine.kind != self.choice.kind(base):
            return False
        return number_format in (self._asked_format, self.engine.number_format)

    async def _fetch(self, base: Path, number_format: str) -> None:
        await self._drop()
        log.info("loading %s", base.name)
        self.engine = await asyncio.to_thread(self.choice.open, base, number_format)
        self._asked_format = number_format

    async def _drop(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)
            del engine  # or nothing of it could be given back
            await asyncio.to_thread(give_memory_back)

    def _leave(self) -> None:
        self._guests -= 1
        self._used_at = time.monotonic()
        if self._guests == 0:
            self._empty.set()


def give_memory_back() -> None:
    """Freed weights return to the system only when the allocator is asked (glibc)."""
    import ctypes
    import gc

    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        log.debug("no glibc here")
