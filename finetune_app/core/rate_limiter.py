"""Rate limits are counted in the broker, so all web processes share the counts."""

import hashlib
import hmac
import ipaddress
from functools import cache

from django.conf import settings
from limits.storage import Storage, storage_from_string
from limits.strategies import SlidingWindowCounterRateLimiter


@cache
def limiter() -> SlidingWindowCounterRateLimiter:
    return SlidingWindowCounterRateLimiter(_storage())


def visitor_id(scope: str, ip: str) -> str:
    """An HMAC of the visitor's address, from which it cannot be recovered.

    In another scope the same address has another id.
    """
    address = ipaddress.ip_address(ip.partition("%")[0])
    if address.version == 6:  # a household has a /64 network
        address = ipaddress.ip_network((address, 64), strict=False).network_address
    text = f"{scope}:{address}".encode()
    return hmac.new(settings.KEY_PEPPER.encode(), text, hashlib.sha256).hexdigest()[:24]


def _storage() -> Storage:
    """Redis, or the bundled Valkey on its socket."""
    url = settings.REDIS_URL.replace("redis+socket://", "redis+unix://")
    storage = storage_from_string(url, wrap_exceptions=True)
    assert isinstance(storage, Storage)
    return storage
