"""Which adapters vLLM has loaded. Each is proved after each load; the longest unused go."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from worker.engine.adapters import BadAdapter, stamp_of
from worker.engine.backend import BackendUnsupported
from worker.engine.vllm.client import MODEL, VllmClient, VllmConnectionError, VllmRejected

log = logging.getLogger(__name__)

Look = Callable[[str, Path], Awaitable[str]]  # (its name in vLLM, folder) -> what is wrong with it


class AdapterHasNoEffect(BadAdapter):
    """This adapter does not do what an adapter is for."""


@dataclass
class CachedAdapter:
    name: str
    wrong: str = ""
    users: int = 0
    ready: asyncio.Lock = field(default_factory=asyncio.Lock)  # held while it is loaded and proved
    loaded: bool = False


class AdapterCache:
    """For one start of the child; all of it runs on the event loop. compare: see proof.py; called
    after a load, as `check` is before one."""

    def __init__(self, client: VllmClient, check: Look, compare: Look, keep: int) -> None:
        self._client, self._check, self._look, self._keep = client, check, compare, keep
        self._held: OrderedDict[tuple[str, tuple[int, int]], CachedAdapter] = OrderedDict()
        self._numbers = itertools.count(1)

    @property
    def folders(self) -> list[str]:
        return [folder for (folder, _stamp), held in self._held.items() if held.loaded]

    @asynccontextmanager
    async def use(self, adapter: Path | None, require_effect: bool = False) -> AsyncIterator[str]:
        """The name to ask for. Raises BadAdapter, BackendUnsupported, VllmConnectionError."""
        if adapter is None:
            yield MODEL
            return
        key = str(adapter), stamp_of(adapter)
        if key not in self._held:
            # A new name with each load: vLLM keeps what it read of prompts under the name, and may
            # still be at unloading the last one.
            self._held[key] = CachedAdapter(f"adapter-{next(self._numbers)}")
        held = self._held[key]
        self._held.move_to_end(key)
        held.users += 1
        try:
            async with held.ready:
                if not held.loaded:
                    await self._load(held, adapter)
            if require_effect and held.wrong:
                raise AdapterHasNoEffect(held.wrong)
            yield held.name
        finally:
            held.users -= 1
            if not held.loaded and not held.users:
                self._held.pop(key, None)
            await self._forget_unused()

    async def _load(self, held: CachedAdapter, adapter: Path) -> None:
        await self._check(held.name, adapter)
        try:
            await self._client.load(held.name, adapter)
        except VllmRejected as problem:
            log.error("vLLM does not load %s: %s", adapter, problem)
            raise BackendUnsupported(
                "vLLM does not take an adapter that our own engine reads"
            ) from None
        held.loaded = True
        try:
            held.wrong = await self._look(held.name, adapter)
        except BaseException:
            held.loaded = False
            await self._unload(held)
            raise

    async def _forget_unused(self) -> None:
        """Those above the limit, never one that an answer still needs."""
        for key, held in list(self._held.items()):
            if len(self._held) <= self._keep:
                return
            if not held.users and key in self._held:
                del self._held[key]
                await self._unload(held)

    async def _unload(self, held: CachedAdapter) -> None:
        try:
            await self._client.unload(held.name)
        except (VllmRejected, VllmConnectionError) as problem:
            log.warning("adapter %s was not unloaded: %s", held.name, problem)
