"""How a deployment is doing, at a glance: requests, waiting time, errors, tokens, over a day or
some. The page that shows all of it is monitoring/presenters.py."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.core.charts import spark_bars, sparkline
from finetune_app.deployment.models import Deployment
from finetune_app.deployment.monitoring import picture

RANGES = ((1, gettext_lazy("24 hours")), (7, gettext_lazy("7 days")), (30, gettext_lazy("30 days")))
PICTURES = {1: "day", 7: "week", 30: "month"}


@dataclass(frozen=True)
class Figures:
    """Counts, seconds at the middle and at the 95th of 100, and a small chart of each over time."""

    requests: int
    failed: int
    tokens: int
    middle: float | None
    slow: float | None
    requests_chart: SafeString
    waiting_chart: SafeString
    failed_chart: SafeString
    tokens_chart: SafeString

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


def days_of(text: str | None) -> int:
    """1, 7 or 30, whatever an address says."""
    return next((days for days, _name in RANGES if str(days) == text), 1)


def of(deployment: Deployment, days: int) -> Figures:
    found = picture.of(deployment, picture.RANGES[PICTURES[days]])
    whole, slots = found.whole, found.slots
    return Figures(
        requests=whole.sum.requests,
        failed=whole.sum.failed,
        tokens=whole.sum.prompt_tokens + whole.sum.tokens,
        middle=whole.middle,
        slow=whole.slow,
        requests_chart=_bars([one.sum.requests for one in slots], _("Requests over time"), days),
        waiting_chart=sparkline(
            [one.middle or 0.0 for one in slots],
            _("Waiting time over time, in seconds"),
            **_ends(days),
        ),
        failed_chart=_bars(
            [one.sum.failed for one in slots], _("Failures over time"), days, kind="red"
        ),
        tokens_chart=_bars(
            [one.sum.prompt_tokens + one.sum.tokens for one in slots], _("Tokens over time"), days
        ),
    )


def _ends(days: int) -> dict[str, str]:
    start = _("a day ago") if days == 1 else _("%(n)d days ago") % {"n": days}
    return {"start": start, "end": _("now")}


def _bars(values: Sequence[float], label: str, days: int, kind: str = "ink") -> SafeString:
    most = f"{label}: {sum(values):,.0f}"
    return spark_bars(values, most, kind=kind, **_ends(days))
