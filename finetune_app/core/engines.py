"""Which engine answers: the one on this machine, or one of several on other hosts (ENGINES).

Each process asks every engine now and then what it has loaded and how much it has to do. A request
goes to the one that has the least, where loading a base model counts as some requests; one that
does not answer is left out for a while.
"""

import asyncio
import socket
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import httpx
from django.conf import settings

from finetune_app.core import request_ids
from finetune_app.core.engine_protocol import EngineHealth
from finetune_app.core.engine_tls import client_context
from finetune_app.core.logs import request_id
from finetune_app.core.tcp_keepalive import socket_options

FRESH_SECONDS = 2.0  # for so long an answer about the engine's state is good
ASK_SECONDS = 1.0  # that a request waits for such an answer
AWAY_SECONDS = 5.0  # for so long an engine that could not be reached is asked last
# What a request to one that cannot be reached, or goes away, ends with.
UNREACHABLE = (aiohttp.ClientError, TimeoutError)
LINE_BYTES = 2**20  # of one event at most; the bytes that a client reads ahead
LOADING = 8  # requests that wait elsewhere are worth loading a base model for one here

SOCKET_URL = "http://engine"
# The socket has no TLS. To prepare for it, httpx would read all certificates: 20 ms a request.
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


@dataclass
class Engine:
    """An engine, and what this process knows of it. `address`: host:port, "" for the socket."""

    address: str = ""
    health: EngineHealth | None = None
    asked_at: float = float("-inf")
    away_until: float = float("-inf")
    sent: int = 0
    """Requests that this process has under way there."""

    @property
    def url(self) -> str:
        return f"https://{self.address}" if self.address else SOCKET_URL

    def is_away(self) -> bool:
        return time.monotonic() < self.away_until

    def was_away(self) -> None:
        self.away_until, self.health = time.monotonic() + AWAY_SECONDS, None

    def loaded(self) -> list[str]:
        """Folders of base models."""
        health = self.health
        return (
            [health["base_model"], *health["also_loaded"]]
            if health and health["base_model"]
            else []
        )

    def load(self, base_model: str) -> int:
        """In requests; higher is worse."""
        queue = self.health["queue"] if self.health else 0
        here = not base_model or any(one.endswith(f"/{base_model}") for one in self.loaded())
        return max(self.sent, queue) + (0 if here else LOADING)


@dataclass
class Pool:
    addresses: Sequence[str]
    engines: list[Engine] = field(init=False)

    def __post_init__(self) -> None:
        self.engines = [Engine(address) for address in self.addresses]

    async def in_order(self, base_model: str) -> list[Engine]:
        """The one to ask first is the first; the others follow in case that it is away."""
        if len(self.engines) > 1:
            await asyncio.gather(*(_refresh(engine) for engine in self.engines))
        return sorted(
            self.engines,
            key=lambda one: (one.is_away(), one.load(base_model), len(one.loaded())),
        )


async def _refresh(engine: Engine) -> None:
    now = time.monotonic()
    if now - engine.asked_at < FRESH_SECONDS or engine.is_away():
        return
    engine.asked_at = now
    try:
        timeout = aiohttp.ClientTimeout(ASK_SECONDS)
        async with client_of(engine, timeout) as client, client.get("/health") as response:
            response.raise_for_status()
            engine.health = await response.json()
    except (*UNREACHABLE, ValueError):
        engine.was_away()


def client_of(engine: Engine, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientSession:
    """For one request. aiohttp takes a third of the time that httpx does
    (docs/decisions/0091-httptools-and-aiohttp.md)."""
    connector: aiohttp.BaseConnector
    if engine.address:
        tls = client_context(settings.ENGINE_SECRET)
        connector = aiohttp.TCPConnector(ssl=tls, socket_factory=watched_socket)
    else:
        connector = aiohttp.UnixConnector(str(settings.ENGINE_SOCKET))
    return aiohttp.ClientSession(
        engine.url,
        connector=connector,
        headers=_headers(),
        timeout=timeout,
        read_bufsize=LINE_BYTES,
    )


def watched_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """An answer may take minutes, but its engine's host may be gone."""
    family, kind, protocol, _name, _address = address
    opened = socket.socket(family, kind, protocol)
    for option in socket_options():
        opened.setsockopt(*option)
    return opened


def blocking_client_of(engine: Engine, timeout: httpx.Timeout) -> httpx.Client:
    """For synchronous code."""
    way: dict[str, Any] = {"verify": NO_TLS, "uds": str(settings.ENGINE_SOCKET)}
    if engine.address:
        verify = client_context(settings.ENGINE_SECRET)
        way = {"verify": verify, "socket_options": socket_options()}
    return httpx.Client(
        transport=httpx.HTTPTransport(**way),
        base_url=engine.url,
        headers=_headers(),
        timeout=timeout,
    )


def _headers() -> dict[str, str]:
    """The secret, and the id of the request under way, for the engine's log."""
    return {"X-Engine-Secret": settings.ENGINE_SECRET, request_ids.HEADER: request_id.get()}


_pools: dict[tuple[str, ...], Pool] = {}


def pool() -> Pool:
    """That of this process: ENGINES, else the engine of this host."""
    addresses = tuple(settings.ENGINES) or (of_this_host().address,)
    if addresses not in _pools:
        _pools[addresses] = Pool(addresses)
    return _pools[addresses]


def together(states: Sequence[EngineHealth]) -> EngineHealth:
    """The state of several engines as if they were one. With one it is its own."""
    first = next((one for one in states if one["base_model"]), states[0])
    loaded = [one["base_model"] or "" for one in states if one is not first]
    return {
        **first,
        "also_loaded": [
            *(folder for one in states for folder in one["also_loaded"]),
            *filter(None, loaded),
        ],
        "adapters": [folder for one in states for folder in one["adapters"]],
        "loading": any(one["loading"] for one in states),
        "memory_bytes": sum(one["memory_bytes"] for one in states),
        "queue": sum(one["queue"] for one in states),
        "queue_limit": sum(one["queue_limit"] for one in states),
    }


def of_this_host() -> Engine:
    """The engine that `manage.py engine` starts here."""
    listens = settings.ENGINE_LISTEN.replace("0.0.0.0:", "127.0.0.1:")
    return Engine(listens.replace("[::]:", "[::1]:"))


def name_of(folder: str) -> str:
    """A folder below DATA_DIR by its name there, since it lies elsewhere on another host."""
    path = Path(folder)
    if path.is_relative_to(settings.DATA_DIR):
        return path.relative_to(settings.DATA_DIR).as_posix()
    return folder
