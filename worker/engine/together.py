"""Many requests at once, with an eye on the lease and the stop button."""

from __future__ import annotations

import queue
from collections.abc import Callable, Sequence

from worker.channel import Channel
from worker.engine.engine import Engine, Item
from worker.engine.requests import Completion, PromptTooLong, Request

TICK = 0.5  # seconds between two looks
News = queue.SimpleQueue[tuple[int, Item]]


def ask_all(
    engine: Engine, requests: Sequence[Request], channel: Channel
) -> list[Completion | None] | None:
    """The answers in the order asked; None where a prompt is longer than the model can see.

    None altogether when the person pressed Stop meanwhile. Raises what broke an answer.
    """
    news: News = queue.SimpleQueue()
    handles = {}
    for number, request in enumerate(requests):
        try:
            handles[number] = engine.submit(request, _listener(news, number))
        except PromptTooLong:
            continue
    answers: dict[int, Completion] = {}
    while len(answers) < len(handles):
        channel.check()
        if channel.stopping():
            for handle in handles.values():
                handle.cancel()
            return None
        try:
            number, item = news.get(timeout=TICK)
        except queue.Empty:
            continue
        if isinstance(item, Exception):
            raise item
        if isinstance(item, Completion):
            answers[number] = item
    return [answers.get(number) for number in range(len(requests))]


def _listener(news: News, number: int) -> Callable[[Item], None]:
    return lambda item: news.put((number, item))
