"""Checks the rules, and notifies people when one is raised or recovers."""

from datetime import datetime

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from finetune_app.alerts import rules
from finetune_app.alerts.models import Metric, Notice, Rule
from finetune_app.alerts.notices import create_notices
from finetune_app.alerts.quiet_hours import when_due


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
        lowest=rules.LOWEST.get(Metric(rule.metric), 0.0),
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
