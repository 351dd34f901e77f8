"""Many streams at once: ask, read the answer as it comes, ask again."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx
import numpy as np

NEW_TOKENS = 64
BASE_ONLY = -1  # in the place of the number of an adapter
TIMEOUT = httpx.Timeout(1800.0)


@dataclass
class Answer:
    """How one request went: seconds from asking to the first piece and to the end, tokens."""

    first: float
    whole: float
    tokens: int


Ask = Callable[[str, int], Answer]  # (the question, which adapter)


@dataclass
class Load:
    """What so many streams got together."""

    answers: list[Answer] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def rate(self) -> float:
        return sum(one.tokens for one in self.answers) / self.seconds

    def at(self, percent: float, of: str) -> float:
        return float(np.percentile([getattr(one, of) for one in self.answers], percent))


def under_load(ask: Ask, questions: list[str], streams: int, adapters: int) -> Load:
    """All questions, in concurrent streams; question n goes to adapter n modulo `adapters`, or
    without adapters to the base model."""
    load, began = Load(), time.perf_counter()
    with ThreadPoolExecutor(streams) as pool:
        work = [
            pool.submit(ask, text, n % adapters if adapters else BASE_ONLY)
            for n, text in enumerate(questions)
        ]
        load.answers = [one.result() for one in work]
    load.seconds = time.perf_counter() - began
    return load
