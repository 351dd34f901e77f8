"""Admits requests to the engine's queue, or rejects them at once."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


class QueueFull(Exception):
    """Too many requests are queued (HTTP 429)."""

    retry_after_seconds = 5


@dataclass
class RequestQueue:
    """Counts the requests that run or wait; used on the event loop only.

    limit: most requests running or waiting.
    max_wait_seconds: once a request has been queued this long, new ones are rejected: an
        immediate 429 is more useful than an answer in minutes.
    """

    limit: int = 64
    max_wait_seconds: float = 10.0
    length: int = 0

    @contextmanager
    def places(self, count: int, waiting_seconds: float) -> Iterator[None]:
        """Hold `count` places. `waiting_seconds`: how long the oldest queued request has waited.

        Raises QueueFull.
        """
        if waiting_seconds > self.max_wait_seconds or self.length + count > self.limit:
            raise QueueFull
        self.length += count
        try:
            yield
        finally:
            self.length -= count
