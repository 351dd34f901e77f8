"""Run many requests at once inside a job, and watch its lease and its stop button meanwhile."""

from __future__ import annotations

import queue
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from worker.channel import Channel, UserError
from worker.engine.backend import Handle, Listener, StreamItem
from worker.engine.requests import Completion, GenerationRequest, PromptTooLong

Key = TypeVar("Key")
POLL_SECONDS = 0.5


class Answering(Protocol):
    """An engine, or what stands in front of several."""

    def submit(self, request: GenerationRequest, listener: Listener | None = None) -> Handle: ...


class GenerationStopped(Exception):
    """Stop was pressed before all answers were there."""


def as_completed(
    engine: Answering,
    requests: Sequence[tuple[Key, Callable[[], GenerationRequest]]],
    channel: Channel,
) -> Iterator[tuple[Key, Completion | Exception]]:
    """Yield each completion, or its error, with the key of its request.

    Raises GenerationStopped, and cancels what is unfinished, when Stop is pressed.
    """
    items: queue.SimpleQueue[tuple[Key, StreamItem]] = queue.SimpleQueue()

    def submit(key: Key, make_request: Callable[[], GenerationRequest]) -> Handle | None:
        try:
            return engine.submit(make_request(), lambda item: items.put((key, item)))
        except (PromptTooLong, UserError) as error:
            items.put((key, error))  # only this request fails; the others continue
            return None

    handles = [submit(*one) for one in requests]
    unfinished = len(handles)
    while unfinished:
        channel.check()
        if channel.stopping():
            for handle in filter(None, handles):
                handle.cancel()
            raise GenerationStopped
        try:
            key, item = items.get(timeout=POLL_SECONDS)
        except queue.Empty:
            continue
        if not isinstance(item, str):  # a chunk of text is of no use here
            unfinished -= 1
            yield key, item


def generate_all(
    engine: Answering, requests: Sequence[GenerationRequest], channel: Channel
) -> list[Completion | None] | None:
    """Completions in the order of the requests; None where a prompt is too long for the model.

    Returns None altogether when Stop is pressed. Raises the error of a request that failed.
    """
    completions: dict[int, Completion] = {}
    numbered = [(number, _constant(request)) for number, request in enumerate(requests)]
    try:
        for number, result in as_completed(engine, numbered, channel):
            if isinstance(result, Completion):
                completions[number] = result
            elif not isinstance(result, PromptTooLong):
                raise result
    except GenerationStopped:
        return None
    return [completions.get(number) for number in range(len(requests))]


def _constant(request: GenerationRequest) -> Callable[[], GenerationRequest]:
    return lambda: request
