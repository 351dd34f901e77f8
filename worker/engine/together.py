"""Many requests at once, with an eye on the lease and the stop button."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from worker.channel import Channel, UserError
from worker.engine.engine import Engine, Handle, Item
from worker.engine.requests import Completion, PromptTooLong, Request

Key = TypeVar("Key")
TICK = 0.5  # seconds between two looks


class Stopped(Exception):
    """The person pressed Stop before all answers were there."""


def as_they_come(
    engine: Engine, asked: Sequence[tuple[Key, Callable[[], Request]]], channel: Channel
) -> Iterator[tuple[Key, Completion | Exception]]:
    """Every answer, or what there is instead of it, under the key of its request.

    Raises `Stopped`, all others cancelled, when the person presses Stop meanwhile.
    """
    news: queue.SimpleQueue[tuple[Key, Item]] = queue.SimpleQueue()

    def submit(key: Key, request: Callable[[], Request]) -> Handle | None:
        try:
            return engine.submit(request(), lambda item: news.put((key, item)))
        except (PromptTooLong, UserError) as problem:
            news.put((key, problem))  # no answer for this one; the others go on
            return None

    handles = [submit(*one) for one in asked]
    waiting = len(handles)
    while waiting:
        channel.check()
        if channel.stopping():
            for handle in filter(None, handles):
                handle.cancel()
            raise Stopped
        try:
            key, item = news.get(timeout=TICK)
        except queue.Empty:
            continue
        if not isinstance(item, str):  # a piece of an answer
            waiting -= 1
            yield key, item


def ask_all(
    engine: Engine, requests: Sequence[Request], channel: Channel
) -> list[Completion | None] | None:
    """The answers in the order asked; None where a prompt is longer than the model can see.

    None altogether when the person pressed Stop meanwhile. Raises what broke an answer.
    """
    answers: dict[int, Completion] = {}
    asked = [(number, _made(request)) for number, request in enumerate(requests)]
    try:
        for number, item in as_they_come(engine, asked, channel):
            if isinstance(item, Completion):
                answers[number] = item
            elif not isinstance(item, PromptTooLong):
                raise item
    except Stopped:
        return None
    return [answers.get(number) for number in range(len(requests))]


def _made(request: Request) -> Callable[[], Request]:
    return lambda: request
