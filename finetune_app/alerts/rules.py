"""Measures the metrics of the rules, and decides when a rule is raised or recovers.

A rule is raised after two checks in a row above its limit, and recovers after three below four
fifths of it, counted from the lowest value there can be. So a value that hovers around the limit
sends nothing.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import F, Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.alerts import rechecks
from finetune_app.alerts.models import Metric, Rule
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring import drift
from finetune_app.monitoring.costs import start_of_month
from finetune_app.monitoring.drift_limits import CLEAR_AUC
from finetune_app.request_log.histogram import quantile
from finetune_app.request_log.rollups import rolled_up_until

WINDOW = timedelta(hours=1)
MIN_REQUESTS = 20  # in the window; fewer say nothing
MAX_REQUESTS = 5_000  # the newest in the window
RAISE_AFTER, RECOVER_AFTER = 2, 3  # checks in a row
RECOVER_BELOW = 0.8  # of the limit
# Client errors (400, 401, ...) are reported to the client; these are the deployment's.
SERVER_ERRORS = Q(status__gte=500) | Q(error="engine_busy")
# Somebody paused it on purpose: what it is asked meanwhile says nothing of how it does.
WHILE_PAUSED = Q(error="model_paused")
TOKENS = Sum(F("prompt_tokens") + F("tokens"))
DEFAULTS = {
    Metric.ERRORS: 5.0,
    Metric.SLOW: 10.0,
    Metric.BUDGET: 1_000_000.0,
    Metric.WORSE: 5.0,
    Metric.DRIFT: 100 * CLEAR_AUC,
}
LOWEST = {Metric.DRIFT: 50.0}  # that can be measured, where it is not 0: one of two is a guess


@dataclass(frozen=True)
class Transition:
    """The result of one check. `event` is "raised", "recovered" or ""."""

    consecutive_checks: int
    event: str = ""


def next_state(
    *, raised: bool, consecutive_checks: int, value: float | None, limit: float, lowest: float = 0.0
) -> Transition:
    """The state after one more check. A `value` of None changes nothing; `lowest` is the least that
    can be measured."""
    if value is None:
        return Transition(consecutive_checks)
    recovered = value < lowest + RECOVER_BELOW * (limit - lowest)
    contradicts = recovered if raised else value > limit
    if not contradicts:
        return Transition(0)
    needed = RECOVER_AFTER if raised else RAISE_AFTER
    if consecutive_checks + 1 < needed:
        return Transition(consecutive_checks + 1)
    return Transition(0, "recovered" if raised else "raised")


def measure(metric: str, deployment: Deployment) -> float | None:
    """The current value of a metric; None if too little is known.

    ERRORS: percent of requests; SLOW: p95 latency in seconds; BUDGET: tokens this month; WORSE:
    percentage points; DRIFT: pairs told apart, of 100.
    """
    measures = {
        Metric.ERRORS: _error_percent,
        Metric.SLOW: _p95_seconds,
        Metric.BUDGET: _tokens_this_month,
        Metric.WORSE: _percentage_points_worse,
        Metric.DRIFT: drift.separable_percent,
    }
    return measures[Metric(metric)](deployment)


def _error_percent(deployment: Deployment) -> float | None:
    asked = deployment.requests.filter(~WHILE_PAUSED, at__gt=timezone.now() - WINDOW)
    newest = asked.values("pk")[:MAX_REQUESTS]
    requests = deployment.requests.filter(pk__in=list(newest.values_list("pk", flat=True)))
    count = requests.count()
    return 100 * requests.filter(SERVER_ERRORS).count() / count if count >= MIN_REQUESTS else None


def _p95_seconds(deployment: Deployment) -> float | None:
    answered = deployment.requests.filter(at__gt=timezone.now() - WINDOW, status__lt=400)
    seconds = sorted(answered.values_list("seconds", flat=True)[:MAX_REQUESTS])
    return quantile(seconds, 0.95) if len(seconds) >= MIN_REQUESTS else None


def _tokens_this_month(deployment: Deployment) -> float:
    """From the rolled-up hours, which outlive the requests, and the requests since then."""
    month, until = start_of_month(), rolled_up_until()
    hours = deployment.hourly_usage.filter(at__gte=month, at__lt=until)
    recent = deployment.requests.filter(at__gte=max(month, until))
    return float(sum(rows.aggregate(sum=TOKENS)["sum"] or 0 for rows in (hours, recent)))


def _percentage_points_worse(deployment: Deployment) -> float | None:
    found = rechecks.latest_result(deployment, deployment.current)
    return found.worse_by if found else None


def sentence(rule: Rule, event: str, value: float | None) -> str:
    """The message of e-mail and webhook, in one line."""
    name = rule.watch.deployment.name
    if event == "recovered":
        return {
            Metric.ERRORS: _(
                "%(name)s answers again: %(value).0f%% of the last hour's requests failed."
            ),
            Metric.SLOW: _("%(name)s is quick again: 95 of 100 answers come within %(value).1f s."),
            Metric.BUDGET: _("%(name)s is within its tokens again: %(value)s this month."),
            Metric.WORSE: _(
                "%(name)s is as good again as when it went live, or nearly: right on "
                "%(value).0f of 100 prompts fewer."
            ),
            Metric.DRIFT: _(
                "%(name)s is asked what it learned again, or nearly: %(value).0f of 100 "
                "pairs of prompts can be told apart."
            ),
        }[Metric(rule.metric)] % {"name": name, "value": _formatted(rule, value)}
    return {
        Metric.ERRORS: _(
            "%(name)s: %(value).0f%% of the last hour's requests failed; your limit is %(limit)g%%."
        ),
        Metric.SLOW: _(
            "%(name)s: 95 of 100 answers of the last hour came within %(value).1f s only; "
            "your limit is %(limit)g s."
        ),
        Metric.BUDGET: _("%(name)s has used %(value)s tokens this month; your limit is %(limit)s."),
        Metric.WORSE: _(
            "%(name)s is right on %(value).0f of 100 test prompts fewer than when it "
            "went live; your limit is %(limit)g."
        ),
        Metric.DRIFT: _(
            "%(name)s is asked other things than it learned from: %(value).0f of 100 "
            "pairs of a live and a learned prompt can be told apart; your limit is "
            "%(limit)g."
        ),
    }[Metric(rule.metric)] % {
        "name": name,
        "value": _formatted(rule, value),
        "limit": f"{rule.limit:,.0f}" if rule.metric == Metric.BUDGET else rule.limit,
    }


def _formatted(rule: Rule, value: float | None) -> float | str:
    return f"{value or 0:,.0f}" if rule.metric == Metric.BUDGET else value or 0.0
