"""API keys: `ft-<prefix>-<secret>`. The prefix finds the row, an HMAC of the whole proves the key.

Source: facts of ASVS 5.0 on API secrets; the pepper lies outside the database.
"""

import hashlib
import hmac
import secrets
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone

from finetune_app.accounts.models import Team, User
from finetune_app.deployment.models import ApiKey, Deployment, this_month

START = "ft"
USED_EVERY = timedelta(minutes=1)  # how exactly it is known when a key was last used


def make(
    *,
    team: Team,
    by: User | None,
    name: str,
    deployment: Deployment | None = None,
    days: int | None = None,
    **limits: Any,
) -> tuple[ApiKey, str]:
    """(the row, the key itself). The key is shown once: afterwards nobody can know it. `limits`:
    actions, requests_a_minute, tokens_a_minute, tokens_a_month, money_a_month, currency."""
    prefix = secrets.token_hex(4)
    text = _new_text(prefix)
    key = ApiKey.objects.create(
        team=team,
        name=name.strip()[:60] or "key",
        prefix=prefix,
        ending=text[-4:],
        digest=_digest(text),
        deployment=deployment,
        created_by=by,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
        **limits,
    )
    return key, text


def change(*, key: ApiKey, **limits: Any) -> None:
    """What it may do and how much (see `make`), and `expires_at`. It counts from the next request
    on; one that had expired works again. A revoked key stays revoked."""
    ApiKey.objects.filter(pk=key.pk, revoked_at=None).update(**limits)


def rotate(*, key: ApiKey, hours: int) -> tuple[ApiKey, str]:
    """(the row, its new text). The old one works on for `hours`; one that was old already ends
    now. Limits and counts stay."""
    text = _new_text(key.prefix)
    with transaction.atomic():
        key = ApiKey.objects.select_for_update().get(pk=key.pk)
        key.previous_digest = key.digest if hours else ""
        key.previous_until = timezone.now() + timedelta(hours=hours) if hours else None
        key.digest, key.ending = _digest(text), text[-4:]
        key.save(update_fields=["digest", "ending", "previous_digest", "previous_until"])
    return key, text


def spend(*, key: ApiKey, tokens: int) -> None:
    """Count what a request used towards the key's month."""
    month, mine = this_month(), ApiKey.objects.filter(pk=key.pk)
    if not mine.filter(month=month).update(month_tokens=F("month_tokens") + tokens):
        fresh = mine.exclude(month=month) | mine.filter(month=None)
        if not fresh.update(month=month, month_tokens=tokens):  # another request was first
            mine.filter(month=month).update(month_tokens=F("month_tokens") + tokens)


def find(text: str) -> ApiKey | None:
    """The key that this text is, if it may still be used."""
    start, _dash, rest = text.partition("-")
    prefix = rest.partition("-")[0]
    if start != START or not prefix:
        return None
    key = ApiKey.objects.select_related("team", "deployment").filter(prefix=prefix[:12]).first()
    if key is None or not _is_its(key, _digest(text)) or not may_be_used(key):
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


def _is_its(key: ApiKey, digest: str) -> bool:
    """Its secret, or the one before while that works on."""
    now = hmac.compare_digest(key.digest, digest)
    before = hmac.compare_digest(key.previous_digest, digest)
    return now or (before and key.old_secret_works)


def _new_text(prefix: str) -> str:
    return f"{START}-{prefix}-{secrets.token_urlsafe(32)}"


def _digest(text: str) -> str:
    return hmac.new(settings.KEY_PEPPER.encode(), text.encode(), hashlib.sha256).hexdigest()
