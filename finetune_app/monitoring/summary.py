"""A summary for the deployment page: requests, latency, failures, tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from finetune_app.core.charts import spark_bars, sparkline
from finetune_app.deployment.models import Deployment
from finetune_app.monitoring.timeseries import RANGES, timeseries_of

DAYS = ((1, gettext_lazy("24 hours")), (7, gettext_lazy("7 days")), (30, gettext_lazy("30 days")))
RANGE_OF_DAYS = {1: "day", 7: "week", 30: "month"}


@dataclass(frozen=True)
class Summary:
    """Counts, latency in seconds, and a small chart of each over time."""

    requests: int
    failed: int
    tokens: int
    latency_p50: float | None
    latency_p95: float | None
    requests_chart: SafeString
    latency_chart: SafeString
    failed_chart: SafeString
    tokens_chart: SafeString

    @property
    def failed_share(self) -> float:
        return self.failed / self.requests if self.requests else 0.0


def days_from_query(text: str | None) -> int:
    """1, 7 or 30; 1 for anything else."""
    return next((days for days, _name in DAYS if str(days) == text), 1)


def summary_of(deployment: Deployment, days: int) -> Summary:
    series = timeseries_of(deployment, RANGES[RANGE_OF_DAYS[days]], whole=False)
    usage, points = series.total.usage, series.points
    return Summary(
        requests=usage.requests,
        failed=usage.failed,
        tokens=usage.all_tokens,
        latency_p50=series.total.latency_p50,
        latency_p95=series.total.latency_p95,
        requests_chart=_bars(
            [point.usage.requests for point in points], _("Requests over time"), days
        ),
        latency_chart=sparkline(
            [point.latency_p50 or 0.0 for point in points],
            _("Waiting time over time, in seconds"),
            **_ends(days),
        ),
        failed_chart=_bars(
            [point.usage.failed for point in points], _("Failures over time"), days, kind="red"
        ),
        tokens_chart=_bars(
            [point.usage.all_tokens for point in points], _("Tokens over time"), days
        ),
    )


def _ends(days: int) -> dict[str, str]:
    start = _("a day ago") if days == 1 else _("%(n)d days ago") % {"n": days}
    return {"start": start, "end": _("now")}


def _bars(values: Sequence[float], label: str, days: int, kind: str = "ink") -> SafeString:
    label = f"{label}: {sum(values):,.0f}"
    return spark_bars(values, label, kind=kind, **_ends(days))
