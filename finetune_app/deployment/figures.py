"""How a deployment is doing: requests, waiting time, errors, tokens, over a day or some."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.core.charts import spark_bars, sparkline
from finetune_app.deployment.models import Deployment

RANGES = ((1, gettext_lazy("24 hours")), (7, gettext_lazy("7 days")), (30, gettext_lazy("30 days")))
MOST = 50_000  # requests that are looked at, the newest


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
    """The last `days` days in slots: hours of one day, else days."""
    now = timezone.now()
    slots, width = (24, timedelta(hours=1)) if days == 1 else (days, timedelta(days=1))
    since = now - slots * width
    rows = deployment.requests.filter(at__gt=since).values_list(
        "at", "status", "seconds", "prompt_tokens", "tokens"
    )[:MOST]
    count, failed = [0.0] * slots, [0.0] * slots
    tokens = [0.0] * slots
    waited: list[list[float]] = [[] for _slot in range(slots)]
    for at, status, seconds, read, written in rows:
        slot = _slot(at, since, width, slots)
        count[slot] += 1
        tokens[slot] += read + written
        if status >= 400:
            failed[slot] += 1
        else:
            waited[slot].append(seconds)
    every = sorted(seconds for some in waited for seconds in some)
    return Figures(
        requests=int(sum(count)), failed=int(sum(failed)), tokens=int(sum(tokens)),
        middle=_at(every, 0.5), slow=_at(every, 0.95),
        requests_chart=_bars(count, _("Requests over time"), days),
        waiting_chart=_line([_at(sorted(some), 0.5) or 0.0 for some in waited], days),
        failed_chart=_bars(failed, _("Failures over time"), days, kind="red"),
        tokens_chart=_bars(tokens, _("Tokens over time"), days),
    )


def _slot(at: datetime, since: datetime, width: timedelta, slots: int) -> int:
    return min(slots - 1, max(0, int((at - since) / width)))


def _at(values: Sequence[float], share: float) -> float | None:
    """The value that this share of the sorted ones stays below."""
    return values[min(len(values) - 1, int(share * len(values)))] if values else None


def _ends(days: int) -> dict[str, str]:
    start = _("a day ago") if days == 1 else _("%(n)d days ago") % {"n": days}
    return {"start": start, "end": _("now")}


def _bars(values: Sequence[float], label: str, days: int, kind: str = "ink") -> SafeString:
    most = f"{label}: {sum(values):,.0f}"
    return spark_bars(values, most, kind=kind, **_ends(days))


def _line(values: Sequence[float], days: int) -> SafeString:
    return sparkline(values, _("Waiting time over time, in seconds"), **_ends(days))
