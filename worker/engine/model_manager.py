"""Keeps one base model loaded and shares it between concurrent requests."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from finetune_app.core import vllm_installation
from finetune_app.core.engine_protocol import EngineHealth
from worker.engine.backend import Backend, BackendUnsupported
from worker.engine.backend_selector import BackendSelector
from worker.engine.request_queue import QueueFull, RequestQueue
from worker.memory import release_memory

IDLE_UNLOAD_SECONDS = 600.0  # without a request
LIVE_SECONDS = 30.0  # after a live request, in which a background one loads no other model

log = logging.getLogger(__name__)

Prepare = Callable[[Backend], None]


class PathNotAllowed(ValueError):
    """A folder outside the data folder was named."""


class ModelManager:
    """Loads a base model on first use, replaces it for another, unloads it when idle.

    Everything runs on the event loop; only loading and `prepare` use other threads.

    data: only folders below it may be read.
    queue: admits requests.
    idle_unload_seconds: time without a request after which the model is unloaded.
    """

    def __init__(
        self,
        data: Path,
        queue: RequestQueue | None = None,
        idle_unload_seconds: float = IDLE_UNLOAD_SECONDS,
        selector: BackendSelector | None = None,
    ) -> None:
        self.data = data.resolve()
        self.queue = queue or RequestQueue()
        self.idle_unload_seconds = idle_unload_seconds
        self.selector = selector or BackendSelector(
            vllm_installation.find_vllm(), self.data / "logs" / "vllm.log"
        )
        self.backend: Backend | None = None
        self._requested_format = ""
        self._active_users = 0  # callers inside `acquire`
        self._used_at = time.monotonic()
        self._used_live_at = float("-inf")
        self._loading_lock = asyncio.Lock()
        self._unused = asyncio.Event()  # set while there are no active users
        self._unused.set()

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
        count: int,
        prepare: Prepare = lambda _backend: None,
        *,
        background: bool = False,
    ) -> AsyncIterator[Backend]:
        """Use a base model for `count` requests; waits while another one is in use.

        prepare: called on another thread before the first request. Where it raises
        BackendUnsupported, the base model is loaded again by our own engine.
        background: nobody waits for these requests, so they never take a model from live ones.

        Raises QueueFull, BadModel, and whatever `prepare` raises.
        """
        if background and not self._is_loaded(base, number_format) and self._is_used_live:
            raise QueueFull
        waiting_seconds = self.backend.wait_seconds if self.backend else 0.0
        with self.queue.places(count, waiting_seconds, background=background):
            backend = await self._acquire(base, number_format, prepare)
            try:
                yield backend
            finally:
                self._release()
                if not background:
                    self._used_live_at = time.monotonic()

    @property
    def _is_used_live(self) -> bool:
        """Whether somebody probably still needs the model that is loaded."""
        since = time.monotonic() - self._used_live_at
        return self.queue.live > 0 or (self.backend is not None and since < LIVE_SECONDS)

    async def _acquire(self, base: Path, number_format: str, prepare: Prepare) -> Backend:
        while True:
            # First come, first served: no request overtakes one that waits for another model.
            async with self._loading_lock:
                if not self._is_loaded(base, number_format):
                    await self._unused.wait()
                    await self._load(base, number_format)
                self._active_users += 1
                self._unused.clear()
            backend = self.backend
            assert backend is not None
            try:
                await asyncio.to_thread(prepare, backend)
            except BackendUnsupported as why:
                self._release()
                self.selector.mark_unsupported(base, str(why))
            except BaseException:
                self._release()
                raise
            else:
                return backend

    async def unload(self) -> bool:
        """Unload the model unless it is in use. Returns whether no model is loaded now."""
        if self._active_users == 0 and not self._loading_lock.locked():
            async with self._loading_lock:
                await self._close_backend()
        return self.backend is None

    async def unload_when_idle(self) -> None:
        """Runs forever: unloads a model that nobody has used for `idle_unload_seconds`."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload_seconds))
            if self.backend and time.monotonic() - self._used_at > self.idle_unload_seconds:
                await self.unload()

    def health(self) -> EngineHealth:
        """What is loaded and by which backend, memory in bytes, queue length."""
        backend = self.backend
        return {
            "base_model": str(backend.folder) if backend else None,
            "number_format": backend.number_format if backend else None,
            "engine": backend.kind if backend else None,
            "why_not_vllm": self.selector.why_not_vllm(
                backend.folder if backend else None, backend.number_format if backend else None
            ),
            "adapters": backend.adapter_folders if backend else [],
            "merged": backend.merged_adapter if backend else None,
            "loading": self._loading_lock.locked(),
            "memory_bytes": psutil.Process().memory_info().rss
            + (backend.memory_bytes if backend else 0),
            "queue": self.queue.length,
            "queue_limit": self.queue.limit,
        }

    def _is_loaded(self, base: Path, number_format: str) -> bool:
        if self.backend is None or self.backend.folder != base:
            return False
        if self.backend.kind != self.selector.kind(base, number_format):
            return False
        return number_format in (self._requested_format, self.backend.number_format)

    async def _load(self, base: Path, number_format: str) -> None:
        await self._close_backend()
        log.info("loading %s", base.name)
        self.backend = await asyncio.to_thread(self.selector.open, base, number_format)
        self._requested_format = number_format

    async def _close_backend(self) -> None:
        backend, self.backend = self.backend, None
        if backend is not None:
            await asyncio.to_thread(backend.close)
            del backend  # the last reference, so that its memory can be released
            await asyncio.to_thread(release_memory)

    def _release(self) -> None:
        self._active_users -= 1
        self._used_at = time.monotonic()
        if self._active_users == 0:
            self._unused.set()
