"""Change alert settings, check the rules, and create the notices to send."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from secrets import token_urlsafe
from zoneinfo import ZoneInfo

import httpx
from django.conf import settings
from django.db import transaction
from django.db.models import F
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.accounts.models import User
from finetune_app.alerts import rules
from finetune_app.alerts.models import Metric, Notice, Rule, Watch
from finetune_app.core.encryption import encrypt
from finetune_app.core.errors import PlainError
from finetune_app.deployment.models import Deployment
from finetune_app.providers import guard


def watch_of(deployment: Deployment) -> Watch:
    """The settings of a deployment, created with a rule for each metric; all off at first."""
    with transaction.atomic():
        watch, _new = Watch.objects.get_or_create(deployment=deployment)
        for what in Metric:
            Rule.objects.get_or_create(
                watch=watch, what=what, defaults={"limit": rules.DEFAULTS[what], "on": False}
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
    fresh = ""
    address = checked_webhook(webhook)
    if address != watch.webhook:
        fresh = token_urlsafe(32) if address else ""
        watch.secret = encrypt(fresh) if fresh else ""
    watch.webhook, watch.zone, watch.recheck_days = address, zone, recheck_days
    watch.quiet_from, watch.quiet_to = quiet or (None, None)
    watch.save()
    members = User.objects.filter(memberships__team=watch.deployment.team_id)
    watch.people.set(members.filter(pk__in=[one.pk for one in people]))
    for rule in watch.rules.all():
        limit = limits.get(rule.what)
        same = rule.on == (limit is not None) and limit in (None, rule.limit)
        if same:
            continue
        # A changed rule starts in the normal state.
        Rule.objects.filter(pk=rule.pk).update(
            on=limit is not None, limit=limit or rule.limit, raised_at=None, streak=0
        )
    return fresh


def check_rules() -> None:
    """Check every rule that is on, of every live deployment. Safe to run concurrently."""
    live = Rule.objects.filter(on=True, watch__deployment__paused_at=None)
    for rule in live.select_related("watch__deployment"):
        check_rule(rule)


def check_rule(rule: Rule) -> str:
    """Check one rule; returns "raised", "recovered" or "". Compare-and-set on `looks`: a concurrent
    check of the same rule makes this one void."""
    value = rules.measure(rule.what, rule.watch.deployment)
    found = rules.next_state(
        raised=rule.raised_at is not None, streak=rule.streak, value=value, limit=rule.limit
    )
    now = timezone.now()
    fields = {"streak": found.streak, "looks": F("looks") + 1, "looked_at": now}
    if found.event:
        fields["raised_at"] = now if found.event == "raised" else None
    with transaction.atomic():
        mine = Rule.objects.filter(pk=rule.pk, looks=rule.looks, on=True).update(**fields)
        if not mine:
            return ""
        if found.event:
            _notify(rule, found.event, value, now)
    return found.event


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
    """Create one notice for each configured way; sending.py sends them."""
    ways = []
    if watch.people.exists():
        ways.append(Notice.Way.EMAIL)
    if watch.webhook:
        ways.append(Notice.Way.WEBHOOK)
    return [
        Notice.objects.create(
            watch=watch, rule=rule, kind=kind, way=way, text=text[:300], value=value, due_at=due
        )
        for way in ways
    ]


def when_due(watch: Watch, now: datetime) -> datetime:
    """`now`, or the end of the quiet hours in the chosen time zone."""
    if watch.quiet_from is None or watch.quiet_to is None or watch.quiet_from == watch.quiet_to:
        return now
    here = now.astimezone(ZoneInfo(watch.zone))
    start, end = watch.quiet_from, watch.quiet_to
    quiet = start <= here.hour < end if start < end else here.hour >= start or here.hour < end
    if not quiet:
        return now
    over = here.replace(hour=end, minute=0, second=0, microsecond=0)
    return over if over > here else over + timedelta(days=1)


def create_test_notices(*, watch: Watch) -> list[Notice]:
    """Create a test notice for each way, due at once even in quiet hours. Raises PlainError if no
    way is configured."""
    text = _("This is a test from Finetune: alerts of %(name)s arrive here.") % {
        "name": watch.deployment.name
    }
    made = create_notices(
        watch=watch, rule=None, kind=Notice.Kind.TRY, value=None, due=timezone.now(), text=text
    )
    if not made:
        raise PlainError(
            _("Choose somebody to tell by e-mail, or enter a webhook, and save."),
            title=_("Nobody to tell yet"),
        )
    return made
