"""Keeps base models loaded and shares them between concurrent requests."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from finetune_app.core import vllm_installation
from finetune_app.core.engine_protocol import EngineHealth
from worker.engine.backend import Backend, BackendUnsupported
from worker.engine.backend_selector import BackendSelector
from worker.engine.model_memory import fits_beside
from worker.engine.request_queue import QueueFull, RequestQueue
from worker.memory import release_memory

IDLE_UNLOAD_SECONDS = 600.0  # without a request
LIVE_SECONDS = 30.0  # after a live request, in which a background one takes the place of no model

log = logging.getLogger(__name__)

Prepare = Callable[[Backend], None]


class PathNotAllowed(ValueError):
    """A folder outside the data folder was named."""


@dataclass(eq=False)
class OpenModel:
    """A base model that is loaded, or being loaded. users: callers inside `acquire`."""

    folder: Path
    requested_format: str
    kind: str
    opening: asyncio.Task[Backend]
    users: int = 0
    used_at: float = field(default_factory=time.monotonic)
    used_live_at: float = float("-inf")

    @property
    def backend(self) -> Backend | None:
        """None while it is being loaded."""
        return self.opening.result() if self.opening.done() else None

    def serves(self, folder: Path, number_format: str, kind: str) -> bool:
        if (self.folder, self.kind) != (folder, kind):
            return False
        formats = {self.requested_format}
        if self.backend:
            formats.add(self.backend.number_format)
        return number_format in formats


class ModelManager:
    """Loads base models on first use, and unloads them when they are idle, or when another one
    needs their memory.

    Everything runs on the event loop; only loading and `prepare` use other threads.

    data: only folders below it may be read.
    fetch: fetches a folder, named below `data`, from a shared store; None where there is none.
    queue: admits requests.
    idle_unload_seconds: time without a request after which a model is unloaded.
    """

    def __init__(
        self,
        data: Path,
        queue: RequestQueue | None = None,
        idle_unload_seconds: float = IDLE_UNLOAD_SECONDS,
        selector: BackendSelector | None = None,
        fetch: Callable[[str], object] | None = None,
    ) -> None:
        self.data = data.resolve()
        self.fetch = fetch
        self.queue = queue or RequestQueue()
        self.idle_unload_seconds = idle_unload_seconds
        self.selector = selector or BackendSelector(
            vllm_installation.find_vllm(), self.data / "logs" / "vllm.log"
        )
        self._models: list[OpenModel] = []
        self._changing = asyncio.Lock()  # which models there are
        self._one_is_unused = asyncio.Event()

    def folder(self, name: object) -> Path:
        """A folder below the data folder, by its name there ("models/tiny") or its absolute path.

        One directly below it, such as "models", may be a link to another disk. Raises
        PathNotAllowed.
        """
        path = Path(os.path.normpath(self.data / str(name)))
        if path != self.data and path.is_relative_to(self.data):
            inside = path.relative_to(self.data)
            if self.fetch:
                self.fetch(inside.as_posix())
            real = path.resolve()
            if real.is_relative_to((self.data / inside.parts[0]).resolve()) and real.is_dir():
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
        caller: str = "",
        background: bool = False,
    ) -> AsyncIterator[Backend]:
        """Use a base model for `count` requests; waits while others need the memory.

        prepare: called on another thread before the first request. Where it raises
        BackendUnsupported, the base model is loaded again by our own engine.
        caller: whose requests they are.
        background: nobody waits for these requests, so they never take memory from live ones.

        Raises QueueFull, BadModel, and whatever `prepare` raises.
        """
        model = self._find(base, number_format)
        if background and model is None:
            self._require_own_room(base)
        waiting_seconds = model.backend.wait_seconds if model and model.backend else 0.0
        with self.queue.places(count, waiting_seconds, caller=caller, background=background):
            model, backend = await self._prepared(base, number_format, prepare, background)
            try:
                yield backend
            finally:
                self._release(model)
                if not background:
                    model.used_live_at = time.monotonic()

    @property
    def _are_used_live(self) -> bool:
        """Whether somebody probably still needs what is loaded."""
        since = time.monotonic() - LIVE_SECONDS
        return self.queue.live > 0 or any(one.used_live_at > since for one in self._models)

    def _require_own_room(self, base: Path) -> None:
        """Raises QueueFull if a background request would take memory from live ones."""
        if self._are_used_live and not self._has_room(base):
            raise QueueFull

    async def _prepared(
        self, base: Path, number_format: str, prepare: Prepare, background: bool
    ) -> tuple[OpenModel, Backend]:
        while True:
            model = await self._opened(base, number_format, background)
            try:
                backend = await asyncio.shield(model.opening)
                await asyncio.to_thread(prepare, backend)
            except BackendUnsupported as why:
                self._release(model)
                self.selector.mark_unsupported(base, str(why))
            except BaseException:
                self._release(model)
                raise
            else:
                return model, backend

    async def _opened(self, base: Path, number_format: str, background: bool) -> OpenModel:
        """Loaded, or being loaded, with one user more. Raises QueueFull."""
        while True:
            # First come, first served: no request overtakes one that waits for memory.
            async with self._changing:
                opening = self._opening(base)
                if opening is None:
                    model = self._find(base, number_format)
                    if model is None:
                        if background:
                            self._require_own_room(base)
                        await self._make_room(base)
                        model = self._open(base, number_format)
                    model.users += 1
                    return model
            # Its number format, and what computes, are only known afterwards.
            await asyncio.wait([opening])

    def _opening(self, base: Path) -> asyncio.Task[Backend] | None:
        found = (m.opening for m in self._models if m.folder == base and not m.opening.done())
        return next(found, None)

    def _find(self, base: Path, number_format: str) -> OpenModel | None:
        kind = self.selector.kind(base, number_format)
        found = (one for one in self._models if one.serves(base, number_format, kind))
        return next(found, None)

    def _open(self, base: Path, number_format: str) -> OpenModel:
        log.info("loading %s", base.name)
        opening = asyncio.create_task(asyncio.to_thread(self.selector.open, base, number_format))
        kind = self.selector.kind(base, number_format)
        model = OpenModel(base, number_format, kind, opening)
        self._models.append(model)

        def look(done: asyncio.Task[Backend]) -> None:
            if done.cancelled() or done.exception():
                self._models.remove(model)
            else:
                model.kind = done.result().kind  # vLLM may have been found unable to
            self._one_is_unused.set()  # who asked for it may be gone

        opening.add_done_callback(look)
        return model

    async def _make_room(self, base: Path) -> None:
        """Unload what has not been used for longest, as far as it is needed."""
        while not self._has_room(base):
            models = self._in_the_way(base) or self._models
            unused = [one for one in models if not one.users and one.opening.done()]
            if unused:
                await self._close(min(unused, key=lambda one: one.used_at))
            else:
                self._one_is_unused.clear()
                await self._one_is_unused.wait()

    def _has_room(self, base: Path) -> bool:
        """Whether it can be loaded beside the others."""
        if not self._models:
            return True  # it is tried
        opening = [one.folder for one in self._models if not one.opening.done()]
        return not self._in_the_way(base) and fits_beside(base, opening)

    def _in_the_way(self, base: Path) -> list[OpenModel]:
        """What cannot stay beside it: vLLM takes nearly all of a card."""
        on_vllm = self.selector.kind(base, "auto") == "vllm"
        return [one for one in self._models if on_vllm or one.kind == "vllm"]

    async def unload(self) -> bool:
        """Unload what is not in use. Returns whether no model is loaded now."""
        if not self._changing.locked():
            await self._close_unused(float("inf"))
        return not self._models

    async def unload_when_idle(self) -> None:
        """Runs forever: unloads models that nobody has used for `idle_unload_seconds`."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload_seconds))
            try:
                if not self._changing.locked():
                    await self._close_unused(time.monotonic() - self.idle_unload_seconds)
            except Exception:
                log.exception("a model was not unloaded")

    def health(self) -> EngineHealth:
        """What is loaded and by which backend, memory in bytes, queue length."""
        by_use = sorted(self._models, key=lambda one: (one.users, one.used_at), reverse=True)
        backends = [one.backend for one in by_use if one.backend]
        last = backends[0] if backends else None
        return {
            "base_model": str(last.folder) if last else None,
            "also_loaded": [str(backend.folder) for backend in backends[1:]],
            "number_format": last.number_format if last else None,
            "engine": last.kind if last else None,
            "why_not_vllm": self.selector.why_not_vllm(
                last.folder if last else None, last.number_format if last else None
            ),
            "adapters": [folder for backend in backends for folder in backend.adapter_folders],
            "merged": last.merged_adapter if last else None,
            "loading": self._changing.locked() or len(backends) < len(self._models),
            "memory_bytes": psutil.Process().memory_info().rss
            + sum(backend.memory_bytes for backend in backends),
            "queue": self.queue.length,
            "queue_limit": self.queue.limit,
        }

    async def _close_unused(self, since: float) -> None:
        """Those that were last used before this time."""
        async with self._changing:
            for model in list(self._models):
                is_unused = not model.users and model.opening.done() and model.used_at < since
                if is_unused and model in self._models:
                    await self._close(model)

    async def _close(self, model: OpenModel) -> None:
        self._models.remove(model)
        backend = model.backend
        assert backend is not None
        await asyncio.to_thread(backend.close)
        del backend, model.opening  # the last references, so that its memory can be released
        await asyncio.to_thread(release_memory)

    def _release(self, model: OpenModel) -> None:
        model.users -= 1
        model.used_at = time.monotonic()
        if not model.users:
            self._one_is_unused.set()


async def folder_of(models: ModelManager, name: object) -> Path:
    """`ModelManager.folder` for the event loop: to fetch gigabytes takes minutes."""
    if models.fetch:
        return await asyncio.to_thread(models.folder, name)
    return models.folder(name)
