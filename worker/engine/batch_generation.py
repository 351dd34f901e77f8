"""Many requests at once, with an eye on the lease and the stop button."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from worker.channel import Channel, UserError
from worker.engine.engine import Engine, Handle, StreamItem
from worker.engine.requests import Completion, GenerationRequest, PromptTooLong

Key = TypeVar("Key")
POLL_SECONDS = 0.5  # seconds between two looks


class GenerationStopped(Exception):
    """The person pressed Stop before all answers were there."""


def as_completed(
    engine: Engine, asked: Sequence[tuple[Key, Callable[[], GenerationRequest]]], channel: Channel
) -> Iterator[tuple[Key, Completion | Exception]]:
    """Every answer, or what there is instead of it, under the key of its request.

    Raises `GenerationStopped`, all others cancelled, when the person presses Stop meanwhile.
    """
    events: queue.SimpleQueue[tuple[Key, StreamItem]] = queue.SimpleQueue()

    def submit(key: Key, request: Callable[[], GenerationRequest]) -> Handle | None:
        try:
            return engine.submit(request(), lambda item: events.put((key, item)))
        except (PromptTooLong, UserError) as problem:
            events.put((key, problem))  # no answer for this one; the others go on
            return None

    handles = [submit(*one) for one in asked]
    waiting = len(handles)
    while waiting:
        channel.check()
        if channel.stopping():
            for handle in filter(None, handles):
                handle.cancel()
            raise GenerationStopped
        try:
            key, item = events.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if not isinstance(item, str):  # a piece of an answer
            waiting -= 1
            yield key, item


def generate_all(
    engine: Engine, requests: Sequence[GenerationRequest], channel: Channel
) -> list[Completion | None] | None:
    """The answers in the order asked; None where a prompt is longer than the model can see.

    None altogether when the person pressed Stop meanwhile. Raises what broke an answer.
    """
    answers: dict[int, Completion] = {}
    asked = [(number, _made(request)) for number, request in enumerate(requests)]
    try:
        for number, item in as_completed(engine, asked, channel):
            if isinstance(item, Completion):
                answers[number] = item
            elif not isinstance(item, PromptTooLong):
                raise item
    except GenerationStopped:
        return None
    return [answers.get(number) for number in range(len(requests))]


def _made(request: GenerationRequest) -> Callable[[], GenerationRequest]:
    return lambda: request
