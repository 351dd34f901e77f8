"""Rate limits are counted in the broker, so all web processes share the counts."""

import hashlib
import hmac
from functools import cache

from django.conf import settings
from limits.storage import Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter

from finetune_app.core.requests import network_of


@cache
def limiter() -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(_storage())


def visitor_id(scope: str, ip: str) -> str:
    """An HMAC of the visitor's address, from which it cannot be recovered.

    In another scope the same address has another id.
    """
    text = f"{scope}:{network_of(ip)}".encode()
    return hmac.new(settings.KEY_PEPPER.encode(), text, hashlib.sha256).hexdigest()[:24]


def _storage() -> Storage:
    """Redis, or the bundled Valkey on its socket."""
    url = settings.REDIS_URL.replace("redis+socket://", "redis+unix://")
    storage = storage_from_string(url, wrap_exceptions=True)
    assert isinstance(storage, Storage)
    return storage
