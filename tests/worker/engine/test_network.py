"""Engines on other hosts: mutual TLS, which one is asked, and what happens when one goes away."""

import asyncio
import signal
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import httpx
import pytest

from finetune_app.core import engine_client as client
from finetune_app.core import engines
from finetune_app.core.engine_client import EngineUnavailable
from finetune_app.core.engine_tls import client_context
from finetune_app.core.engines import Engine, Pool
from tests.worker.engine.engine_server import MESSAGES, SECRET, EngineServer
from tests.worker.engine.tiny_models import make_base

ASKED = [{"candidate": "0", "adapter": None, "messages": MESSAGES}]


class NetworkEngine(EngineServer):
    """An engine that listens on a port of this computer."""

    def __init__(self, data: Path, *options: str) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        super().__init__(data, *options)

    def command(self, *options: str) -> list[str]:
        python, *_rest = super().command()
        return [python, "-m", "worker.engine.server", "--listen", self.address, *options]

    def is_ready(self) -> bool:
        host, port = self.address.split(":")
        with socket.socket() as one:
            return one.connect_ex((host, int(port))) == 0

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    data = tmp_path_factory.mktemp("data")
    for name in ("base", "other"):
        make_base(data / name, "llama")
    return data


@pytest.fixture(scope="module")
def two(folder):
    """Two engines that go on."""
    running = [NetworkEngine(folder), NetworkEngine(folder)]
    yield running
    for engine in running:
        engine.stop()


@pytest.fixture
def use(folder, settings):
    """Be a web whose settings name these engines."""

    def use(*some: NetworkEngine) -> None:
        settings.ENGINES = [one.address for one in some]

    settings.DATA_DIR, settings.ENGINE_SECRET = folder, SECRET
    return use


@pytest.fixture
def mortal(folder):
    """An engine that may be ended."""
    engine = NetworkEngine(folder)
    yield engine
    engine.stop()


async def events_of(folder: Path, name: str = "base", tokens: int = 4) -> AsyncIterator[dict]:
    async for event in client.stream_chat(str(folder / name), ASKED, max_new_tokens=tokens):
        yield event


def answer(folder: Path, name: str = "base") -> None:
    async def last() -> dict:
        return [event async for event in events_of(folder, name)][-1]

    assert asyncio.run(last())["done"]


def loaded_by(engine: NetworkEngine) -> set[str]:
    health = client.health_now(5, Engine(engine.address))
    return {Path(one).name for one in (health["base_model"], *health["also_loaded"]) if one}


def test_who_has_another_secret_gets_no_connection(two, use, settings):
    use(two[0])
    settings.ENGINE_SECRET = "another"
    with pytest.raises(EngineUnavailable):
        asyncio.run(client.health())
    everything = ssl.create_default_context()  # trusts no such authority
    for verify in (everything, False):  # and whoever trusts anybody has no certificate
        with pytest.raises(httpx.TransportError):
            httpx.get(f"https://{two[0].address}/health", verify=verify)
    with pytest.raises(httpx.TransportError):
        httpx.get(f"http://{two[0].address}/health")


def test_a_connection_alone_is_not_enough(two):
    told = httpx.get(f"https://{two[0].address}/health", verify=client_context(SECRET))
    assert told.status_code == 403


def test_a_model_is_asked_where_it_is_loaded(two, use, folder, monkeypatch):
    monkeypatch.setattr(engines, "ASK_SECONDS", 30.0)  # however busy this machine is
    use(*two)
    for name in ("base", "other", "base", "other"):
        answer(folder, name)
        for engine in engines.pool().engines:
            engine.asked_at = 0.0  # as after two seconds
    assert sorted(map(loaded_by, two), key=str) == [{"base"}, {"other"}]
    assert asyncio.run(client.count_prompt_tokens(str(folder / "base"), MESSAGES)) > 0


def test_when_one_is_killed_its_answer_ends_with_an_error_and_the_other_goes_on(
    two, use, mortal, folder
):
    use(mortal)

    async def answer_until_killed() -> None:
        async for _event in events_of(folder, tokens=4000):
            mortal.process.kill()

    with pytest.raises(EngineUnavailable, match="cannot be reached just now"):
        asyncio.run(answer_until_killed())
    use(mortal, two[0])
    answer(folder)


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="Linux only")
def test_one_whose_host_is_gone_is_noticed_within_seconds(two, use, monkeypatch):
    """Such a host says nothing, and an answer may take minutes (tests/hosts unplugs one)."""
    use(two[0])
    opened: list[socket.socket] = []

    def watched(address: aiohttp.AddrInfoType) -> socket.socket:
        opened.append(open_socket(address))
        return opened[-1]

    open_socket = engines.watched_socket
    monkeypatch.setattr(engines, "watched_socket", watched)

    async def options() -> tuple[int, int]:
        timeout = aiohttp.ClientTimeout(30)
        async with (
            engines.client_of(Engine(two[0].address), timeout) as asks,
            asks.get("/health") as told,
        ):
            assert told.ok
            [used] = opened
            tcp = used.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
            return used.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), tcp

    keepalive, most_milliseconds = asyncio.run(options())
    assert keepalive
    assert 0 < most_milliseconds < 5000


def test_who_is_told_to_end_finishes_what_it_began(use, mortal, folder):
    use(mortal)

    async def answer_while_it_ends() -> list[dict]:
        found = []
        async for event in events_of(folder, tokens=200):
            if not found:
                mortal.process.send_signal(signal.SIGTERM)
            found.append(event)
        return found

    events = asyncio.run(answer_while_it_ends())
    assert events[-1]["done"]
    assert events[-1]["finish_reason"] != "error"
    assert mortal.process.wait(timeout=30) in {0, -signal.SIGTERM}
    assert not mortal.is_ready()


def state(*, loaded: str = "", queue: int = 0) -> dict:
    return {"base_model": f"/there/models/{loaded}" if loaded else None} | {
        "also_loaded": [],
        "adapters": [],
        "loading": False,
        "memory_bytes": 5,
        "queue": queue,
        "queue_limit": 64,
    }


def pool_of(**states: dict) -> Pool:
    pool = Pool(list(states))
    for engine, health in zip(pool.engines, states.values(), strict=True):
        engine.health, engine.asked_at = health, float("inf")
    return pool


def first_of(pool: Pool, base_model: str = "models/tiny") -> str:
    return asyncio.run(pool.in_order(base_model))[0].address


def test_the_least_loaded_is_asked_first():
    assert first_of(pool_of(a=state(loaded="tiny", queue=4), b=state(loaded="tiny"))) == "b"
    assert first_of(pool_of(a=state(), b=state(loaded="tiny", queue=7))) == "b"
    assert first_of(pool_of(a=state(), b=state(loaded="tiny", queue=9))) == "a"
    assert first_of(pool_of(a=state(loaded="tiny-2"), b=state(loaded="tiny"))) == "b"


def test_what_this_process_has_sent_counts_before_it_is_told():
    pool = pool_of(a=state(loaded="tiny"), b=state(loaded="tiny"))
    pool.engines[0].sent = 1
    assert first_of(pool) == "b"


def test_one_that_is_away_is_asked_last():
    pool = pool_of(a=state(loaded="tiny"), b=state(queue=60))
    pool.engines[0].was_away()
    assert first_of(pool) == "b"


def test_that_all_are_busy_is_said_also_when_one_is_away(use, settings, folder, monkeypatch):
    async def full_or_dead(engine: Engine, body: dict) -> AsyncIterator[dict]:
        if engine.address == "dead:1":
            raise EngineUnavailable("cannot be reached")
        raise EngineUnavailable("busy", retry_after=5)
        yield {}

    settings.ENGINES = ("full:1", "dead:1")
    monkeypatch.setattr(client, "_chat_events", full_or_dead)
    monkeypatch.setattr(engines, "_refresh", lambda engine: asyncio.sleep(0))
    for dead_first in (False, True):
        engines.pool().engines[0].sent = int(dead_first)
        with pytest.raises(EngineUnavailable, match="busy"):
            answer(folder)


def test_several_are_shown_as_one():
    states = [state(queue=2), state(loaded="tiny", queue=3), state(loaded="large")]
    found = engines.together(states)
    assert (found["base_model"], found["also_loaded"]) == (
        "/there/models/tiny",
        ["/there/models/large"],
    )
    assert (found["queue"], found["queue_limit"], found["memory_bytes"]) == (5, 192, 15)
