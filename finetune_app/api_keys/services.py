"""Create, change, rotate, revoke and check API keys.

A key has the form `ft-<prefix>-<secret>`. The prefix finds the row; an HMAC of the whole text
verifies it (digests.py).
"""

import hmac
import secrets
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Q
from django.utils import timezone

from finetune_app.accounts.models import Team, User
from finetune_app.api_keys.digests import digest, pepper_id
from finetune_app.api_keys.models import FOR_EDITORS, ApiKey, this_month
from finetune_app.deployment.models import Deployment

KEY_START = "ft"
# In SQL, since each request asks these: Django takes longer to write a statement than a database to
# answer it (docs/benchmarks/web.md).
KEY_BY_PREFIX = """
    SELECT api_keys_apikey.* FROM api_keys_apikey
    LEFT JOIN accounts_user AS maker ON maker.id = created_by_id
    LEFT JOIN accounts_user AS rotator ON rotator.id = rotated_by_id
    WHERE prefix = %s AND (created_by_id IS NULL OR maker.is_active)
    AND (rotated_by_id IS NULL OR rotator.is_active)
"""
COUNT_TOKENS = """
    UPDATE api_keys_apikey SET month_tokens = month_tokens + %s WHERE id = %s AND month = %s
"""
USED_AT_RESOLUTION = timedelta(minutes=1)  # `used_at` is written at most once in this time


def create_key(
    *,
    team: Team,
    by: User | None,
    name: str,
    deployment: Deployment | None = None,
    days: int | None = None,
    **limits: Any,
) -> tuple[ApiKey, str]:
    """Returns (row, the key's text). The text is not stored, so it can be shown only now.

    limits: actions, requests_per_minute, tokens_per_minute, tokens_per_month, cost_per_month,
    currency.
    """
    prefix = secrets.token_hex(4)
    text = _new_text(prefix)
    key = ApiKey.objects.create(
        team=team,
        name=name.strip()[:60] or "key",
        prefix=prefix,
        ending=text[-4:],
        digest=digest(text),
        pepper_id=pepper_id(),
        deployment=deployment,
        created_by=by,
        expires_at=timezone.now() + timedelta(days=days) if days else None,
        **limits,
    )
    return key, text


def change_key(*, key: ApiKey, **changes: Any) -> None:
    """Change limits (see `create_key`) or `expires_at`, from the next request on. An expired key
    can work again this way; a revoked one cannot."""
    ApiKey.objects.not_revoked().filter(pk=key.pk).update(**changes)


def rotate_key(*, key: ApiKey, by: User | None, hours: int) -> tuple[ApiKey, str]:
    """Give the key a new secret; returns (row, its new text). The previous secret works for `hours`
    more, older ones no longer. Limits and counts stay."""
    text = _new_text(key.prefix)
    with transaction.atomic():
        key = ApiKey.objects.select_for_update().get(pk=key.pk)
        key.previous_digest = key.digest if hours else ""
        key.previous_until = timezone.now() + timedelta(hours=hours) if hours else None
        key.previous_by, key.rotated_by = key.rotated_by if hours else None, by
        key.digest, key.pepper_id, key.ending = digest(text), pepper_id(), text[-4:]
        previous = ["previous_digest", "previous_until", "previous_by"]
        key.save(update_fields=["digest", "pepper_id", "ending", "rotated_by", *previous])
    return key, text


def revoke_key(*, key: ApiKey) -> None:
    ApiKey.objects.not_revoked().filter(pk=key.pk).update(revoked_at=timezone.now())


def revoke_keys_of(*, user_id: int, team_id: int) -> None:
    """Revoke the keys of this team that this user made or gave their secret; and end a previous
    secret from this user."""
    keys = ApiKey.objects.not_revoked().filter(team=team_id)
    keys.filter(previous_by=user_id).update(previous_digest="", previous_until=None)
    theirs = keys.filter(Q(created_by=user_id) | Q(rotated_by=user_id))
    theirs.update(revoked_at=timezone.now())


def limit_keys_of(*, user_id: int, team_id: int) -> None:
    """Leave the keys of this team that this viewer made or gave their secret what viewers may do;
    and end a previous secret from them of the keys of others."""
    keys = ApiKey.objects.not_revoked().filter(team=team_id)
    theirs = Q(created_by=user_id) | Q(rotated_by=user_id)
    others = keys.exclude(pk__in=keys.filter(theirs)).filter(previous_by=user_id)
    others.update(previous_digest="", previous_until=None)
    for key in keys.filter(theirs):
        key.actions = [one for one in key.actions if one not in FOR_EDITORS]
        key.save(update_fields=["actions"])


def count_month_tokens(*, key: ApiKey, tokens: int) -> None:
    """Add a request's tokens to the key's month."""
    month, mine = this_month(), ApiKey.objects.filter(pk=key.pk)
    if not _add_tokens(key, month, tokens):
        fresh = mine.exclude(month=month) | mine.filter(month=None)
        if not fresh.update(month=month, month_tokens=tokens):  # another request was first
            _add_tokens(key, month, tokens)


def _add_tokens(key: ApiKey, month: date, tokens: int) -> bool:
    """False if the key counts another month."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_TOKENS, [tokens, key.pk, month])
        return bool(cursor.rowcount)


def authenticate(text: str) -> ApiKey | None:
    """The active key with this text, or None. The keys of an inactive account do not work."""
    start, _dash, rest = text.partition("-")
    prefix = rest.partition("-")[0]
    if start != KEY_START or not prefix:
        return None
    key = next(iter(ApiKey.objects.raw(KEY_BY_PREFIX, [prefix[:12]])), None)
    if key is None or not _verify(key, text) or not key.is_active:
        return None
    now = timezone.now()
    if key.used_at is None or now - key.used_at > USED_AT_RESOLUTION:
        ApiKey.objects.filter(pk=key.pk).update(used_at=now)
    return key


def _verify(key: ApiKey, text: str) -> bool:
    """A digest with an older pepper is replaced by one with the current pepper."""
    if _matches(key, digest(text)):
        return True
    for pepper in settings.KEY_PEPPER_FALLBACKS:
        older = digest(text, pepper)
        if _matches(key, older):
            mine = ApiKey.objects.filter(pk=key.pk)
            mine.filter(digest=older).update(digest=digest(text), pepper_id=pepper_id())
            mine.filter(previous_digest=older).update(previous_digest=digest(text))
            return True
    return False


def _matches(key: ApiKey, given: str) -> bool:
    """Whether it is the current secret, or the previous one while that still works."""
    current = hmac.compare_digest(key.digest, given)
    previous = hmac.compare_digest(key.previous_digest, given)
    return current or (previous and key.previous_secret_works)


def _new_text(prefix: str) -> str:
    return f"{KEY_START}-{prefix}-{secrets.token_urlsafe(32)}"
