"""Change the settings of alerts."""

from collections.abc import Iterable
from secrets import token_urlsafe

import httpx
from cryptography.fernet import InvalidToken
from django.conf import settings
from django.db import transaction

from finetune_app.accounts.models import User
from finetune_app.alerts import rules
from finetune_app.alerts.models import Metric, Rule, Watch
from finetune_app.core.encryption import decrypt, encrypt
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment
from finetune_app.providers import guard


def watch_of(deployment: Deployment) -> Watch:
    """The settings of a deployment, created with a rule for each metric; all off at first."""
    watch = Watch.objects.filter(deployment=deployment).prefetch_related("rules").first()
    if watch:
        watch.deployment = deployment  # which is not read again
    if watch and {rule.metric for rule in watch.rules.all()} >= set(Metric):
        return watch
    with transaction.atomic():
        watch, _new = Watch.objects.get_or_create(deployment=deployment)
        for metric in Metric:
            Rule.objects.get_or_create(
                watch=watch, metric=metric, defaults={"limit": rules.DEFAULTS[metric], "on": False}
            )
    return watch


def checked_webhook(text: str) -> str:
    """The address without surrounding spaces, "" for none. Raises PlainError (422) if it must not
    be called. What its name resolves to is checked again on each request."""
    text = text.strip()
    if not text:
        return ""
    try:
        guard.read_address(text)
        guard.check(httpx.URL(text), private=is_private(text))
    except guard.NotAllowed as problem:
        raise PlainError(str(problem), status=422) from None
    return text


def is_private(address: str) -> bool:
    """Whether the operator allowed its host, so that it may be in a private network."""
    return guard.host_and_port(httpx.URL(address)) in settings.ENDPOINTS_ALLOWED


def _is_readable(secret: str) -> bool:
    try:
        return not secret or bool(decrypt(secret))
    except InvalidToken:
        return False


@transaction.atomic
def change(
    *,
    watch: Watch,
    limits: dict[str, float | None],
    people: Iterable[User],
    webhook: str,
    quiet: tuple[int, int] | None,
    zone: str,
    recheck_days: int | None = None,
) -> str:
    """`limits` has a number for each rule that is on. Returns the secret of a new webhook, or
    of one whose secret cannot be read any more, which is never shown again; else ""."""
    new_secret = ""
    address = checked_webhook(webhook)
    if address != watch.webhook or not _is_readable(watch.secret):
        new_secret = token_urlsafe(32) if address else ""
        watch.secret = encrypt(new_secret) if new_secret else ""
    watch.webhook, watch.zone, watch.recheck_days = address, zone, recheck_days
    watch.quiet_from, watch.quiet_to = quiet or (None, None)
    watch.save()
    members = User.objects.filter(memberships__team=watch.deployment.team_id)
    watch.people.set(members.filter(pk__in=[one.pk for one in people]))
    for rule in watch.rules.all():
        limit = limits.get(rule.metric)
        if rule.on == (limit is not None) and limit in (None, rule.limit):
            continue  # unchanged
        # A changed rule starts in the normal state.
        Rule.objects.filter(pk=rule.pk).update(
            on=limit is not None, limit=limit or rule.limit, raised_at=None, consecutive_checks=0
        )
    return new_secret
