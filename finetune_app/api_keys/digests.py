"""HMACs of API keys with a pepper that is outside the database (OWASP ASVS 5.0 on API secrets)."""

import hashlib
import hmac

from django.conf import settings


def digest(text: str, pepper: str | None = None) -> str:
    """With the current pepper, if none is given."""
    used = pepper or settings.KEY_PEPPER
    return hmac.new(used.encode(), text.encode(), hashlib.sha256).hexdigest()


def pepper_id() -> str:
    """Tells digests of the current pepper from those of older ones."""
    return digest("which pepper this is")[:8]
