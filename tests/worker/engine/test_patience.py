"""Who comes while others have waited long already is told so at once."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from worker.engine.engine import Engine
from worker.engine.house import Busy, House
from worker.engine.requests import Request

HELLO = [{"role": "user", "content": "Hello there"}]


def test_it_knows_how_long_the_first_in_the_queue_has_waited(base):
    with Engine(base, "fp32", max_rows=1) as engine:
        assert engine.waited == 0
        both = [engine.submit(Request(HELLO, max_new_tokens=3000)) for _ in range(2)]
        next(iter(both[0]))
        assert engine.waited > 0
        for one in both:
            one.cancel()
        both[1].result()
        assert engine.waited == 0


def test_nobody_is_let_in_behind_somebody_who_has_waited_too_long(base):
    async def come() -> list[str]:
        house, said = House(base.parent, patience=0.0), []
        async with AsyncExitStack() as stays:
            engine = await stays.enter_async_context(house.stay(base, "fp32", 1))
            engine._max_rows = 1
            for _ in range(2):
                asked = engine.submit(Request(HELLO, max_new_tokens=3000))
                stays.callback(asked.cancel)
            with pytest.raises(Busy):
                async with house.stay(base, "fp32", 1):
                    said.append("let in")
        house.patience = 60.0
        async with house.stay(base, "fp32", 1):
            said.append("let in afterwards")
        await asyncio.to_thread(engine.close)
        return said

    assert asyncio.run(come()) == ["let in afterwards"]
