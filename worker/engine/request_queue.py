"""Admits requests to the engine's queue, or rejects them at once."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


class QueueFull(Exception):
    """Too many requests are queued (HTTP 429)."""

    retry_after_seconds = 5


@dataclass
class RequestQueue:
    """Counts the requests that run or wait; used on the event loop only.

    Background requests are those that nobody waits for, such as a batch's. The others are live.

    limit: most requests running or waiting.
    caller_share: most of them that one caller may have, so that others always find room.
    max_wait_seconds: once a request has been queued this long, callers that wait already get no
        more in: an immediate 429 is more useful than an answer in minutes. Another caller's turn
        comes sooner.
    background_limit: most background requests, while there is no live one; else a single one, so
        that live answers are hardly slower and a batch still goes on.
    """

    limit: int = 96
    caller_share: float = 2 / 3
    max_wait_seconds: float = 10.0
    background_limit: int = 8
    length: int = 0
    background: int = 0  # of `length`
    by_caller: Counter[str] = field(default_factory=Counter)  # of `length`

    @property
    def live(self) -> int:
        return self.length - self.background

    @contextmanager
    def places(
        self,
        count: int,
        waiting_seconds: float,
        *,
        caller: str = "",
        background: bool = False,
    ) -> Iterator[None]:
        """Hold `count` places. `waiting_seconds`: how long the oldest queued request has waited.

        Raises QueueFull.
        """
        if self.length + count > self.limit:
            raise QueueFull
        waiting = self.by_caller[caller]
        if waiting and waiting_seconds > self.max_wait_seconds:
            raise QueueFull
        if waiting and waiting + count > self.caller_share * self.limit:
            raise QueueFull
        if background and self.background and self.background + count > self._most_background:
            raise QueueFull
        self.length += count
        self.by_caller[caller] += count
        self.background += count * background
        try:
            yield
        finally:
            self.length -= count
            self.by_caller -= Counter({caller: count})  # drops those that have none left
            self.background -= count * background

    @property
    def _most_background(self) -> int:
        return 1 if self.live else self.background_limit
