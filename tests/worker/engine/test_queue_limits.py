"""Requests are rejected at once while others have waited too long."""

import asyncio
import shutil
from contextlib import AsyncExitStack, ExitStack
from queue import SimpleQueue

import pytest

from worker.engine.engine import Engine
from worker.engine.model_manager import ModelManager
from worker.engine.request_queue import QueueFull, RequestQueue
from worker.engine.requests import GenerationRequest

HELLO = [{"role": "user", "content": "Hello there"}]


def test_the_engine_reports_how_long_the_first_request_has_waited(base):
    with Engine(base, "fp32", max_sequences=1) as engine:
        assert engine.wait_seconds == 0
        both = [engine.submit(GenerationRequest(HELLO, max_new_tokens=3000)) for _ in range(2)]
        next(iter(both[0]))
        assert engine.wait_seconds > 0
        for one in both:
            one.cancel()
        both[1].result()
        assert engine.wait_seconds == 0


def test_requests_are_rejected_while_one_has_waited_too_long(base):
    async def acquire_twice() -> list[str]:
        manager, acquired = ModelManager(base.parent, RequestQueue(max_wait_seconds=0.0)), []
        async with AsyncExitStack() as stack:
            engine = await stack.enter_async_context(manager.acquire(base, "fp32", 1))
            engine._max_sequences = 1
            for _ in range(2):
                asked = engine.submit(GenerationRequest(HELLO, max_new_tokens=3000))
                stack.callback(asked.cancel)
            with pytest.raises(QueueFull):
                async with manager.acquire(base, "fp32", 1):
                    acquired.append("while full")
        manager.queue.max_wait_seconds = 60.0
        async with manager.acquire(base, "fp32", 1):
            acquired.append("afterwards")
        await asyncio.to_thread(engine.close)
        return acquired

    assert asyncio.run(acquire_twice()) == ["afterwards"]


def test_one_caller_leaves_room_for_others():
    queue = RequestQueue(limit=6)
    with queue.places(4, 0.0, caller="many"):
        with pytest.raises(QueueFull), queue.places(1, 0.0, caller="many"):
            pass
        few = queue.places(2, 0.0, caller="few")
        with few, pytest.raises(QueueFull), queue.places(1, 0.0, caller="third"):
            pass
        # While the one waits, another one's turn comes sooner.
        with pytest.raises(QueueFull), queue.places(1, 60.0, caller="many"):
            pass
        with queue.places(1, 60.0, caller="few"):
            pass
    assert not queue.by_caller


def test_callers_take_turns(base):
    """One asks for ten answers, then another one for two: the next places are the second's."""
    finished = SimpleQueue()
    with Engine(base, "fp32", max_sequences=2) as engine:
        first = engine.submit(GenerationRequest(HELLO, caller="many"))
        next(iter(first))
        for _ in range(10):
            submit(engine, "many", 20, finished)
        for _ in range(2):
            submit(engine, "few", 20, finished)
        order = [finished.get() for _ in range(12)]
        first.cancel()
    assert {n for n, name in enumerate(order) if name == "few"} <= {0, 1, 2, 3}


def test_a_long_request_is_overtaken_while_it_does_not_fit(base):
    finished = SimpleQueue()
    with Engine(base, "fp32") as engine:
        engine._cache_bytes = 2 * 1000 * engine._bytes_per_token
        running = engine.submit(GenerationRequest(HELLO, max_new_tokens=900))
        next(iter(running))
        long = submit(engine, "long", 2000, finished)
        submit(engine, "short", 5, finished)
        assert finished.get() == "short"
        running.cancel()
        long.cancel()
        assert finished.get() == "long"


def submit(engine, caller: str, length: int, finished: SimpleQueue):
    """The caller's name goes into `finished` at the end of the answer."""
    request = GenerationRequest(HELLO, max_new_tokens=length, caller=caller)
    return engine.submit(
        request, lambda item: None if isinstance(item, str) else finished.put(caller)
    )


def test_background_requests_fill_what_live_ones_leave():
    queue = RequestQueue(background_limit=4)
    with ExitStack() as stack:
        for _ in range(4):
            stack.enter_context(queue.places(1, 0.0, background=True))
        with pytest.raises(QueueFull), queue.places(1, 0.0, background=True):
            pass
        stack.enter_context(queue.places(1, 0.0))
        assert (queue.live, queue.background) == (1, 4)
    assert (queue.length, queue.background) == (0, 0)


def test_beside_a_live_request_there_is_a_single_one_in_the_background():
    queue = RequestQueue()
    with queue.places(1, 0.0), queue.places(1, 0.0, background=True):
        with pytest.raises(QueueFull), queue.places(1, 0.0, background=True):
            pass
        with queue.places(1, 0.0):
            assert queue.live == 2


def test_a_background_request_takes_no_model_from_live_ones(base, tmp_path, monkeypatch):
    other = base.parent / "other"
    shutil.copytree(base, other)
    monkeypatch.setattr("worker.engine.model_manager.fits_beside", lambda *_folders: False)

    async def acquire() -> list[str]:
        manager, got = ModelManager(base.parent), []
        async with manager.acquire(base, "fp32", 1):
            with pytest.raises(QueueFull):
                async with manager.acquire(other, "fp32", 1, background=True):
                    got.append("beside a live request")
            async with manager.acquire(base, "fp32", 1, background=True):
                got.append("of the same model")
        with pytest.raises(QueueFull):
            async with manager.acquire(other, "fp32", 1, background=True):
                got.append("right after a live request")
        monkeypatch.setattr("worker.engine.model_manager.LIVE_SECONDS", 0.0)
        async with manager.acquire(other, "fp32", 1, background=True):
            got.append("later")
        await manager.unload()
        return got

    assert asyncio.run(acquire()) == ["of the same model", "later"]
