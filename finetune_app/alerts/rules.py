"""What is measured, and when it counts as wrong.

One alert until it is over, then one word that it is. A rule is raised after two looks in a row
above its limit, and well again after three below four fifths of it, so that a value that hovers
about the limit sends nothing.
"""

from dataclasses import dataclass
from datetime import timedelta

from django.db.models import Q, Sum
from django.utils import timezone
from django.utils.translation import gettext as _

from finetune_app.alerts import rechecks
from finetune_app.alerts.models import Rule, What
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring import drift

WINDOW = timedelta(hours=1)
LEAST = 20  # requests in the window; fewer say nothing
MOST = 5_000  # the newest of them are looked at
RAISE_AFTER, CALM_AFTER = 2, 3  # looks in a row
CALM = 0.8  # of the limit
# The asker's own mistakes (400, 401, ...) are told to them; these are the deployment's.
OURS = Q(status__gte=500) | Q(error="engine_busy")
DEFAULTS = {
    What.ERRORS: 5.0,
    What.SLOW: 10.0,
    What.BUDGET: 1_000_000.0,
    What.WORSE: 5.0,
    What.DRIFT: 75.0,
}


@dataclass(frozen=True)
class Step:
    """What a look changes: the streak, and "raised", "recovered" or nothing."""

    streak: int
    happened: str = ""


def step(*, raised: bool, streak: int, value: float | None, limit: float) -> Step:
    """After one more look. None says nothing: neither better nor worse."""
    if value is None:
        return Step(streak)
    against = value < CALM * limit if raised else value > limit
    if not against:
        return Step(0)
    enough = CALM_AFTER if raised else RAISE_AFTER
    if streak + 1 < enough:
        return Step(streak + 1)
    return Step(0, "recovered" if raised else "raised")


def measured(what: str, deployment: Deployment) -> float | None:
    """Percent of requests that failed, seconds that 95 of 100 answers stay below, tokens of this
    month, percentage points by which it is right less often, of 100 pairs of a live and a learned
    prompt those that can be told apart; None where nothing can be told."""
    by = {
        What.ERRORS: _errors,
        What.SLOW: _slow,
        What.BUDGET: _tokens,
        What.WORSE: _worse,
        What.DRIFT: drift.told_apart_percent,
    }
    return by[What(what)](deployment)


def _errors(deployment: Deployment) -> float | None:
    newest = deployment.requests.filter(at__gt=timezone.now() - WINDOW).values("pk")[:MOST]
    seen = deployment.requests.filter(pk__in=list(newest.values_list("pk", flat=True)))
    count = seen.count()
    return 100 * seen.filter(OURS).count() / count if count >= LEAST else None


def _slow(deployment: Deployment) -> float | None:
    answered = deployment.requests.filter(at__gt=timezone.now() - WINDOW, status__lt=400)
    took = sorted(answered.values_list("seconds", flat=True)[:MOST])
    return took[min(len(took) - 1, int(0.95 * len(took)))] if len(took) >= LEAST else None


def _tokens(deployment: Deployment) -> float:
    month = timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = deployment.requests.filter(at__gte=month).aggregate(
        read=Sum("prompt_tokens"), written=Sum("tokens")
    )
    return float((found["read"] or 0) + (found["written"] or 0))


def _worse(deployment: Deployment) -> float | None:
    found = rechecks.standing(deployment)
    return found.worse_by if found else None


def sentence(rule: Rule, happened: str, value: float | None) -> str:
    """The alert in one line, as e-mail and webhook say it."""
    name = rule.watch.deployment.name
    if happened == "recovered":
        return {
            What.ERRORS: _(
                "%(name)s answers again: %(value).0f%% of the last hour's requests failed."
            ),
            What.SLOW: _("%(name)s is quick again: 95 of 100 answers come within %(value).1f s."),
            What.BUDGET: _("%(name)s is within its tokens again: %(value)s this month."),
            What.WORSE: _(
                "%(name)s is as good again as when it went live, or nearly: right on "
                "%(value).0f of 100 prompts fewer."
            ),
            What.DRIFT: _(
                "%(name)s is asked what it learned again, or nearly: %(value).0f of 100 "
                "pairs of prompts can be told apart."
            ),
        }[What(rule.what)] % {"name": name, "value": _shown(rule, value)}
    return {
        What.ERRORS: _(
            "%(name)s: %(value).0f%% of the last hour's requests failed; your limit is %(limit)g%%."
        ),
        What.SLOW: _(
            "%(name)s: 95 of 100 answers of the last hour came within %(value).1f s only; "
            "your limit is %(limit)g s."
        ),
        What.BUDGET: _("%(name)s has used %(value)s tokens this month; your limit is %(limit)s."),
        What.WORSE: _(
            "%(name)s is right on %(value).0f of 100 test prompts fewer than when it "
            "went live; your limit is %(limit)g."
        ),
        What.DRIFT: _(
            "%(name)s is asked other things than it learned from: %(value).0f of 100 "
            "pairs of a live and a learned prompt can be told apart; your limit is "
            "%(limit)g."
        ),
    }[What(rule.what)] % {
        "name": name,
        "value": _shown(rule, value),
        "limit": f"{rule.limit:,.0f}" if rule.what == What.BUDGET else rule.limit,
    }


def _shown(rule: Rule, value: float | None) -> float | str:
    return f"{value or 0:,.0f}" if rule.what == What.BUDGET else value or 0.0
