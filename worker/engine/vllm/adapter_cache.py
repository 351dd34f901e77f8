"""The adapters that vLLM has loaded. Each is checked after each load; the least recently used are
evicted."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from worker.engine.adapter_check import AdapterHasNoEffect
from worker.engine.adapters import stamp_of
from worker.engine.backend import BackendUnsupported
from worker.engine.vllm.client import BASE_MODEL, VllmClient, VllmConnectionError, VllmRejected

log = logging.getLogger(__name__)


@dataclass
class CachedAdapter:
    """name: in vLLM. problem: why it has no effect. users: requests that use it now."""

    name: str
    problem: str = ""
    users: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while it is loaded and checked
    loaded: bool = False


class AdapterCache:
    """For one run of the child process. Everything runs on the event loop.

    check_before: raises BadAdapter for a folder that must not be loaded.
    check_after: given vLLM's name of a loaded adapter and its folder, what is wrong with it.
    keep: adapters kept while unused.
    """

    def __init__(
        self,
        client: VllmClient,
        check_before: Callable[[Path], Awaitable[None]],
        check_after: Callable[[str, Path], Awaitable[str]],
        keep: int,
    ) -> None:
        self._client, self._keep = client, keep
        self._check_before, self._check_after = check_before, check_after
        self._adapters: OrderedDict[tuple[str, tuple[int, int]], CachedAdapter] = OrderedDict()
        self._numbers = itertools.count(1)

    @property
    def folders(self) -> list[str]:
        """Folders of the loaded adapters, least recently used first."""
        return [folder for (folder, _stamp), one in self._adapters.items() if one.loaded]

    @asynccontextmanager
    async def use(self, folder: Path | None, require_effect: bool = False) -> AsyncIterator[str]:
        """The model name for requests with this adapter; None is the base model.

        Raises BadAdapter, BackendUnsupported, VllmConnectionError.
        """
        if folder is None:
            yield BASE_MODEL
            return
        key = str(folder), stamp_of(folder)
        if key not in self._adapters:
            # A new name for each load: vLLM caches prefixes under the name, and may still be
            # unloading the last one.
            self._adapters[key] = CachedAdapter(f"adapter-{next(self._numbers)}")
        adapter = self._adapters[key]
        self._adapters.move_to_end(key)
        adapter.users += 1
        try:
            async with adapter.lock:
                if not adapter.loaded:
                    await self._load(adapter, folder)
            if require_effect and adapter.problem:
                raise AdapterHasNoEffect(adapter.problem)
            yield adapter.name
        finally:
            adapter.users -= 1
            if not adapter.loaded and not adapter.users:
                self._adapters.pop(key, None)
            await self._evict_unused()

    async def _load(self, adapter: CachedAdapter, folder: Path) -> None:
        await self._check_before(folder)
        try:
            await self._client.load_adapter(adapter.name, folder)
        except VllmRejected as error:
            log.error("vLLM does not load %s: %s", folder, error)
            raise BackendUnsupported(
                "vLLM does not take an adapter that our own engine reads"
            ) from None
        adapter.loaded = True
        try:
            adapter.problem = await self._check_after(adapter.name, folder)
        except BaseException:
            adapter.loaded = False
            await self._unload(adapter)
            raise

    async def _evict_unused(self) -> None:
        """Unload adapters above the limit, except those in use."""
        for key, adapter in list(self._adapters.items()):
            if len(self._adapters) <= self._keep:
                return
            if not adapter.users and key in self._adapters:
                del self._adapters[key]
                await self._unload(adapter)

    async def _unload(self, adapter: CachedAdapter) -> None:
        try:
            await self._client.unload_adapter(adapter.name)
        except (VllmRejected, VllmConnectionError) as error:
            log.warning("adapter %s was not unloaded: %s", adapter.name, error)
