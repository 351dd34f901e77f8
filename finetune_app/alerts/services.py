"""Change alert settings, check the rules, and create the notices to send."""

from collections.abc import Iterable
from datetime import datetime
from secrets import token_urlsafe

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.alerts import rules
from finetune_app.alerts.models import Metric, Notice, Rule, Watch
from finetune_app.alerts.quiet_hours import when_due
from finetune_app.core.encryption import encrypt
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment
from finetune_app.providers import guard


def watch_of(deployment: Deployment) -> Watch:
    """The settings of a deployment, created with a rule for each metric; all off at first."""
    watch = Watch.objects.filter(deployment=deployment).prefetch_related("rules").first()
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
    """`limits` has a number for each rule that is on. Returns the secret of a new webhook, which is
    never shown again; "" if the webhook did not change."""
    new_secret = ""
    address = checked_webhook(webhook)
    if address != watch.webhook:
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


def check_rules() -> None:
    """Check every rule that is on, of every live deployment. Safe to run concurrently."""
    live = Rule.objects.filter(on=True, watch__deployment__paused_at=None)
    for rule in live.select_related("watch__deployment"):
        check_rule(rule)


def check_rule(rule: Rule) -> str:
    """Check one rule; returns "raised", "recovered" or "". Compare-and-set on `check_count`: of two
    concurrent checks of a rule, one has no effect."""
    value = rules.measure(rule.metric, rule.watch.deployment)
    transition = rules.next_state(
        raised=rule.raised_at is not None,
        consecutive_checks=rule.consecutive_checks,
        value=value,
        limit=rule.limit,
    )
    now = timezone.now()
    fields = {
        "consecutive_checks": transition.consecutive_checks,
        "check_count": F("check_count") + 1,
        "checked_at": now,
    }
    if transition.event:
        fields["raised_at"] = now if transition.event == "raised" else None
    unchanged = Rule.objects.filter(pk=rule.pk, check_count=rule.check_count, on=True)
    with transaction.atomic():
        if not unchanged.update(**fields):
            return ""
        if transition.event:
            _notify(rule, transition.event, value, now)
    return transition.event


def _notify(rule: Rule, event: str, value: float | None, now: datetime) -> None:
    waiting = Notice.objects.filter(
        rule=rule, kind=Notice.Kind.RAISED, sent_at=None, attempts=0, due_at__gt=now
    )
    if event == "recovered" and waiting.exists():
        waiting.delete()  # raised and recovered within the quiet hours: send neither
        return
    create_notices(
        watch=rule.watch,
        rule=rule,
        kind=event,
        value=value,
        due=when_due(rule.watch, now),
        text=rules.sentence(rule, event, value),
    )


def create_notices(
    *, watch: Watch, rule: Rule | None, kind: str, value: float | None, due: datetime, text: str
) -> list[Notice]:
    """Create one notice for each configured channel; sending.py sends them."""
    channels = []
    if watch.people.exists():
        channels.append(Notice.Channel.EMAIL)
    if watch.webhook:
        channels.append(Notice.Channel.WEBHOOK)
    return [
        Notice.objects.create(
            watch=watch,
            rule=rule,
            kind=kind,
            channel=channel,
            text=text[:300],
            value=value,
            due_at=due,
        )
        for channel in channels
    ]


def create_test_notices(*, watch: Watch) -> list[Notice]:
    """Create a test notice for each channel, due at once even in quiet hours. Raises PlainError if
    no channel is configured."""
    text = _("This is a test from Finetune: alerts of %(name)s arrive here.") % {
        "name": watch.deployment.name
    }
    notices = create_notices(
        watch=watch, rule=None, kind=Notice.Kind.TRY, value=None, due=timezone.now(), text=text
    )
    if not notices:
        raise PlainError(
            _("Choose somebody to tell by e-mail, or enter a webhook, and save."),
            title=_("Nobody to tell yet"),
        )
    return notices
