"""Rate limits: requests and tokens of a key a minute."""

import logging
import time
from typing import Literal

from limits import RateLimitItemPerMinute
from limits.errors import StorageError

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.rate_limiter import limiter

log = logging.getLogger(__name__)


class RateLimitExceeded(Exception):
    """The key may use `limit` of `unit` a minute. `retry_after` is in seconds."""

    def __init__(self, unit: Literal["requests", "tokens"], limit: int, retry_after: int) -> None:
        super().__init__(unit)
        self.unit, self.limit, self.retry_after = unit, limit, retry_after


def count_request(key: ApiKey) -> None:
    """Count one request. While the broker is unreachable no request is refused: each still needs a
    valid key.

    Raises RateLimitExceeded if this request, or the tokens of earlier ones, exceed the limit.
    """
    requests = RateLimitItemPerMinute(max(key.requests_per_minute, 1))
    tokens = RateLimitItemPerMinute(max(key.tokens_per_minute, 1))
    try:
        if not limiter().hit(requests, "requests", str(key.pk)):
            retry_after = _seconds_until_room(requests, "requests", key)
            raise RateLimitExceeded("requests", requests.amount, retry_after)
        if not limiter().test(tokens, "tokens", str(key.pk)):
            retry_after = _seconds_until_room(tokens, "tokens", key)
            raise RateLimitExceeded("tokens", tokens.amount, retry_after)
    except StorageError:
        log.warning("limits cannot be counted: the broker is out of reach")


def count_tokens(key: ApiKey, count: int) -> None:
    """Count the tokens of a finished request. If they exceed the limit, the next request is refused
    for a while."""
    tokens = RateLimitItemPerMinute(max(key.tokens_per_minute, 1))
    try:
        fits = limiter().hit(tokens, "tokens", str(key.pk), cost=max(count, 1))
        if not fits:  # a hit beyond the limit is not counted: use up the rest instead
            left = limiter().get_window_stats(tokens, "tokens", str(key.pk)).remaining
            limiter().hit(tokens, "tokens", str(key.pk), cost=max(left, 1))
    except StorageError:
        log.warning("limits cannot be counted: the broker is out of reach")


def _seconds_until_room(item: RateLimitItemPerMinute, unit: str, key: ApiKey) -> int:
    until = limiter().get_window_stats(item, unit, str(key.pk)).reset_time
    return max(1, min(60, round(until - time.time())))
