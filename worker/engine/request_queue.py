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

    Background requests are those that nobody waits for, such as a batch's. The others are live.

    limit: most requests running or waiting.
    max_wait_seconds: once a request has been queued this long, new ones are rejected: an
        immediate 429 is more useful than an answer in minutes.
    background_limit: most background requests, while there is no live one; else a single one, so
        that live answers are hardly slower and a batch still goes on.
    """

    limit: int = 64
    max_wait_seconds: float = 10.0
    background_limit: int = 8
    length: int = 0
    background: int = 0  # of `length`

    @property
    def live(self) -> int:
        return self.length - self.background

    @contextmanager
    def places(
        self, count: int, waiting_seconds: float, *, background: bool = False
    ) -> Iterator[None]:
        """Hold `count` places. `waiting_seconds`: how long the oldest queued request has waited.

        Raises QueueFull.
        """
        if waiting_seconds > self.max_wait_seconds or self.length + count > self.limit:
            raise QueueFull
        if background and self.background and self.background + count > self._most_background:
            raise QueueFull
        self.length += count
        self.background += count * background
        try:
            yield
        finally:
            self.length -= count
            self.background -= count * background

    @property
    def _most_background(self) -> int:
        return 1 if self.live else self.background_limit
