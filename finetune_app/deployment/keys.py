"""API keys: `ft-<prefix>-<secret>`. The prefix finds the row, an HMAC of the whole proves the key.

Source: facts of ASVS 5.0 on API secrets; the pepper lies outside the database.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from finetune_app.accounts.models import Team, User
from finetune_app.deployment.models import ApiKey, Deployment

START = "ft"
USED_EVERY = timedelta(minutes=1)  # how exactly it is known when a key was last used


def make(
    *, team: Team, by: User | None, name: str, deployment: Deployment | None = None,
    days: int | None = None, requests_a_minute: int = 60, tokens_a_minute: int = 100_000,
) -> tuple[ApiKey, str]:
    """(the row, the key itself). The key is shown once: afterwards nobody can know it."""
    prefix = secrets.token_hex(4)
    text = f"{START}-{prefix}-{secrets.token_urlsafe(32)}"
    key = ApiKey.objects.create(
        team=team, name=name.strip()[:60] or "key", prefix=prefix, ending=text[-4:],
        digest=_digest(text), deployment=deployment, created_by=by,
        requests_a_minute=requests_a_minute, tokens_a_minute=tokens_a_minute,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
    )
    return key, text


def find(text: str) -> ApiKey | None:
    """The key that this text is, if it may still be used."""
    start, _dash, rest = text.partition("-")
    prefix = rest.partition("-")[0]
    if start != START or not prefix:
        return None
    key = ApiKey.objects.select_related("team", "deployment").filter(prefix=prefix[:12]).first()
    if key is None or not hmac.compare_digest(key.digest, _digest(text)) or not may_be_used(key):
        return None
    now = timezone.now()
    if key.used_at is None or now - key.used_at > USED_EVERY:
        ApiKey.objects.filter(pk=key.pk).update(used_at=now)
    return key


def may_be_used(key: ApiKey) -> bool:
    expired = key.expires_at is not None and key.expires_at <= timezone.now()
    return key.revoked_at is None and not expired


def revoke(*, key: ApiKey) -> None:
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(revoked_at=timezone.now())


def _digest(text: str) -> str:
    return hmac.new(settings.KEY_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()
