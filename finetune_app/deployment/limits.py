"""How much a key may ask for in a minute: requests, and tokens read and written."""

import logging
import time
from functools import cache

from django.conf import settings
from limits import RateLimitItemPerDay, RateLimitItemPerMinute
from limits.errors import StorageError
from limits.storage import Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from finetune_app.deployment.models import ApiKey

log = logging.getLogger(__name__)


class TooMuch(Exception):
    """`what`: requests or tokens. `seconds` until there is room again."""

    def __init__(self, what: str, most: int, seconds: int) -> None:
        super().__init__(what)
        self.what, self.most, self.seconds = what, most, seconds


def take_request(key: ApiKey) -> None:
    """Count one request. Raises TooMuch when that, or the tokens of before, is more than allowed.

    While the broker cannot be reached nobody is refused: the keys themselves still guard.
    """
    requests = RateLimitItemPerMinute(max(key.requests_a_minute, 1))
    tokens = RateLimitItemPerMinute(max(key.tokens_a_minute, 1))
    try:
        if not _limiter().hit(requests, "requests", str(key.pk)):
            raise TooMuch("requests", requests.amount, _wait(requests, "requests", key))
        if not _limiter().test(tokens, "tokens", str(key.pk)):
            raise TooMuch("tokens", tokens.amount, _wait(tokens, "tokens", key))
    except StorageError:
        log.warning("limits cannot be counted: the broker is out of reach")


def take_tokens(key: ApiKey, count: int) -> None:
    """Afterwards: what the request has used. It may go over; the next one then waits."""
    tokens = RateLimitItemPerMinute(max(key.tokens_a_minute, 1))
    try:
        fits = _limiter().hit(tokens, "tokens", str(key.pk), cost=max(count, 1))
        if not fits:  # a hit that does not fit is not counted, and what is left would stay free
            left = _limiter().get_window_stats(tokens, "tokens", str(key.pk)).remaining
            _limiter().hit(tokens, "tokens", str(key.pk), cost=max(left, 1))
    except StorageError:
        log.warning("limits cannot be counted: the broker is out of reach")


def take_visit(*, chat: str, visitor: str, a_minute: int, a_day: int) -> None:
    """Count one question on a page for others. Raises TooMuch (minute, day, or away).

    No key guards such a page, so while questions cannot be counted none is answered.
    """
    minute, day = RateLimitItemPerMinute(a_minute), RateLimitItemPerDay(a_day)
    try:
        if not _limiter().hit(minute, "visitor", chat, visitor):
            raise TooMuch("minute", a_minute, 60)
        if not _limiter().hit(day, "visits", chat):
            raise TooMuch("day", a_day, 3600)
    except StorageError as problem:
        log.warning("visits cannot be counted: the broker is out of reach")
        raise TooMuch("away", 0, 60) from problem


def _wait(item: RateLimitItemPerMinute, what: str, key: ApiKey) -> int:
    until = _limiter().get_window_stats(item, what, str(key.pk)).reset_time
    return max(1, min(60, round(until - time.time())))


@cache
def _limiter() -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(_storage())


def _storage() -> Storage:
    """Redis, or the bundled Valkey on its socket: the same counts in every web process."""
    url = settings.REDIS_URL.replace("redis+socket://", "redis+unix://")
    found = storage_from_string(url, wrap_exceptions=True)
    assert isinstance(found, Storage)
    return found
