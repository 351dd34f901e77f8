"""Requests are rejected at once while others have waited too long."""

import asyncio
from contextlib import AsyncExitStack

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
