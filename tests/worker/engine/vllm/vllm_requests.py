"""Requests to a vLLM backend, and waiting for it."""

import time

from worker.engine.requests import GenerationRequest
from worker.engine.vllm.engine import VllmRestarting

HELLO = [{"role": "user", "content": "Hello there"}]


def ask(adapter=None, **more) -> GenerationRequest:
    return GenerationRequest(HELLO, adapter, **{"max_new_tokens": 12, **more})


def answer(engine, request):
    handle = engine.submit(request)
    pieces = list(handle)
    assert "".join(pieces) == handle.completion.text
    return handle.completion


def wait_until(condition, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "not true in time"
        time.sleep(0.05)


def is_up(engine) -> bool:
    try:
        engine.prepare([ask(None)])
    except VllmRestarting:
        return False
    return True
