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

from finetune_app.core import vllm_installation
from worker.engine.backend import Backend, BackendSelector, BackendUnsupported

log = logging.getLogger(__name__)


class QueueFull(Exception):
    """Too many are before you; try again in `retry_after` seconds."""

    retry_after_seconds = 5


class PathNotAllowed(ValueError):
    """A folder outside the data folder was named."""


class ModelManager:
    """One model, many guests. All of it runs on the event loop; only loading leaves it.

    data: only folders below it may be read. queue_limit: most requests running or waiting.
    idle_unload_seconds: seconds without a request after which the model is dropped.
    max_wait_seconds: once
    somebody has waited so many seconds for a place, nobody is let in behind them: a no at once is
    worth more than an answer in minutes. selector: which engine serves.
    """

    def __init__(
        self,
        data: Path,
        queue_limit: int = 64,
        idle_unload_seconds: float = 600.0,
        max_wait_seconds: float = 10.0,
        selector: BackendSelector | None = None,
    ) -> None:
        self.data = data.resolve()
        self.queue_limit, self.idle_unload_seconds, self.max_wait_seconds = (
            queue_limit,
            idle_unload_seconds,
            max_wait_seconds,
        )
        self.selector = selector or BackendSelector(
            vllm_installation.find_vllm(), self.data / "logs" / "vllm.log"
        )
        self.engine: Backend | None = None
        self._requested_format = ""
        self._active_requests = 0
        self._reserved = 0
        self._used_at = time.monotonic()
        self._loading_lock = asyncio.Lock()
        self._idle = asyncio.Event()  # set while there is no guest
        self._idle.set()

    def folder(self, name: object) -> Path:
        """An absolute folder below the data folder. Raises PathNotAllowed."""
        path = Path(str(name))
        if path.is_absolute():
            real = path.resolve()
            if real.is_relative_to(self.data) and real.is_dir():
                return real
        raise PathNotAllowed("Models and adapters are only read from Finetune's own data folder.")

    @asynccontextmanager
    async def acquire(
        self,
        base: Path,
        number_format: str,
        lanes: int,
        ready: Callable[[Backend], None] = lambda _engine: None,
    ) -> AsyncIterator[Backend]:
        """Use a model for `lanes` requests; another one waits until the present guests left.

        ready: makes what the requests need, on another thread; where vLLM cannot, our own engine is
        fetched and does. Raises QueueFull, BadModel, and what `ready` raises.
        """
        overdue = self.engine is not None and self.engine.waited > self.max_wait_seconds
        if overdue or self._reserved + lanes > self.queue_limit:
            raise QueueFull
        self._reserved += lanes
        try:
            engine = await self._enter(base, number_format, ready)
            try:
                yield engine
            finally:
                self._release()
        finally:
            self._reserved -= lanes

    async def _enter(
        self, base: Path, number_format: str, ready: Callable[[Backend], None]
    ) -> Backend:
        while True:
            async with (
                self._loading_lock
            ):  # first come, first served: nobody overtakes a change of model
                if not self._is_loaded(base, number_format):
                    await self._idle.wait()
                    await self._load(base, number_format)
                self._active_requests += 1
                self._idle.clear()
            engine = self.engine
            assert engine is not None
            try:
                await asyncio.to_thread(ready, engine)
            except BackendUnsupported as why:
                self._release()
                self.selector.refuse(base, str(why))
            except BaseException:
                self._release()
                raise
            else:
                return engine

    async def unload(self) -> bool:
        """Drop the model unless somebody uses it; says whether nothing is loaded now."""
        if self._active_requests == 0 and not self._loading_lock.locked():
            async with self._loading_lock:
                await self._drop()
        return self.engine is None

    async def unload_when_idle(self) -> None:
        """Runs for ever: drops a model that nobody has asked for a while."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload_seconds))
            if self.engine and time.monotonic() - self._used_at > self.idle_unload_seconds:
                await self.unload()

    def health(self) -> dict[str, Any]:
        """What is loaded, what serves it, the memory of that (bytes), how long the queue is."""
        engine = self.engine
        return {
            "base_model": str(engine.folder) if engine else None,
            "number_format": engine.number_format if engine else None,
            "engine": engine.kind if engine else None,
            "why_not_vllm": self.selector.why_not(engine.folder if engine else None),
            "adapters": engine.held if engine else [],
            "merged": engine.merged if engine else None,
            "memory_bytes": psutil.Process().memory_info().rss
            + (engine.memory_bytes if engine else 0),
            "queue": self._reserved,
            "queue_limit": self.queue_limit,
        }

    def _is_loaded(self, base: Path, number_format: str) -> bool:
        if self.engine is None or self.engine.folder != base:
            return False
        if self.engine.kind != self.selector.kind(base):
            return False
        return number_format in (self._requested_format, self.engine.number_format)

    async def _load(self, base: Path, number_format: str) -> None:
        await self._drop()
        log.info("loading %s", base.name)
        self.engine = await asyncio.to_thread(self.selector.open, base, number_format)
        self._requested_format = number_format

    async def _drop(self) -> None:
        engine, self.engine = self.engine, None
        if engine is not None:
            await asyncio.to_thread(engine.close)
            del engine  # or nothing of it could be given back
            await asyncio.to_thread(release_memory)

    def _release(self) -> None:
        self._active_requests -= 1
        self._used_at = time.monotonic()
        if self._active_requests == 0:
            self._idle.set()


def release_memory() -> None:
    """Freed weights return to the system only when the allocator is asked (glibc)."""
    import ctypes
    import gc

    gc.collect()
    try:
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    except OSError:
        log.debug("no glibc here")
