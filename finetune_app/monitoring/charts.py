"""Charts of the monitoring page."""

from collections.abc import Sequence

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from finetune_app.core.charts import stacked_bars, time_lines
from finetune_app.core.templatetags.ui import waited
from finetune_app.monitoring.costs import Price
from finetune_app.monitoring.models import DriftCheck
from finetune_app.monitoring.timeseries import Point, TimeSeries


def charts_of(series: TimeSeries, price: Price) -> dict[str, SafeString]:
    """By name; without those of text answers, feedback and cost where there are none."""
    start, end = str(series.range.ago), _("now")
    charts = {
        "requests": _requests(series, start, end),
        "latency": _latency(series, start, end),
        "first_token": _first_token(series, start, end),
        "tokens": _tokens(series, start, end),
    }
    if series.total.text_answers:
        charts["lengths"] = _lengths(series, start, end)
        charts["refused"] = _refused(series, start, end)
    if series.up or series.down:
        charts["feedback"] = _feedback(series, start, end)
    if price.is_set:
        charts["cost"] = _cost(series, price, start, end)
    return charts


def drift_chart(checks: Sequence[DriftCheck]) -> SafeString:
    """AUC and chance level of `checks`, from old to new."""
    first, last = checks[0], checks[-1]
    return time_lines(
        [
            ("l-far", [float(check.chance_percent) for check in checks]),
            ("l-unseen", [float(check.auc_percent) for check in checks]),
        ],
        _("Drift over time"),
        _(
            "Of 100 pairs %(then)d were told apart at first and %(now)d at last; luck alone rarely "
            "reaches more than %(luck)d"
        )
        % {"then": first.auc_percent, "now": last.auc_percent, "luck": last.chance_percent},
        chart_id="chart-drift",
        start=f"{first.created_at:%d %b}",
        end=f"{last.created_at:%d %b}",
    )


def _requests(series: TimeSeries, start: str, end: str) -> SafeString:
    answered = [float(point.usage.requests - point.usage.failed) for point in series.points]
    failed = [float(point.usage.failed) for point in series.points]
    return stacked_bars(
        [("ink", answered), ("red", failed)],
        _("Requests over time"),
        _("%(answered)s answered, %(failed)s failed; most at %(busiest)s")
        % {
            "answered": f"{sum(answered):,.0f}",
            "failed": f"{sum(failed):,.0f}",
            "busiest": _busiest(series.points),
        },
        chart_id="chart-requests",
        start=start,
        end=end,
    )


def _latency(series: TimeSeries, start: str, end: str) -> SafeString:
    total = series.total
    return time_lines(
        [
            ("l-far", [point.latency_p99 for point in series.points]),
            ("l-train", [point.latency_p95 for point in series.points]),
            ("l-unseen", [point.latency_p50 for point in series.points]),
        ],
        _("Waiting time over time"),
        _("Half within %(half)s, 95 of 100 within %(slow)s, 99 of 100 within %(slowest)s")
        % {
            "half": waited(total.latency_p50),
            "slow": waited(total.latency_p95),
            "slowest": waited(total.latency_p99),
        },
        chart_id="chart-waited",
        format_value=waited,
        start=start,
        end=end,
    )


def _first_token(series: TimeSeries, start: str, end: str) -> SafeString:
    total = series.total
    return time_lines(
        [
            ("l-train", [point.first_token_p95 for point in series.points]),
            ("l-unseen", [point.first_token_p50 for point in series.points]),
        ],
        _("Time to the first word over time"),
        _("Half within %(half)s, 95 of 100 within %(slow)s")
        % {"half": waited(total.first_token_p50), "slow": waited(total.first_token_p95)},
        chart_id="chart-first",
        format_value=waited,
        start=start,
        end=end,
    )


def _tokens(series: TimeSeries, start: str, end: str) -> SafeString:
    usage = series.total.usage
    return stacked_bars(
        [
            ("rest", [float(point.usage.prompt_tokens) for point in series.points]),
            ("accent", [float(point.usage.tokens) for point in series.points]),
        ],
        _("Tokens over time"),
        _("%(read)s read, %(written)s written")
        % {"read": f"{usage.prompt_tokens:,}", "written": f"{usage.tokens:,}"},
        chart_id="chart-tokens",
        start=start,
        end=end,
    )


def _lengths(series: TimeSeries, start: str, end: str) -> SafeString:
    total = series.total
    return time_lines(
        [
            ("l-train", [point.length_p95 for point in series.points]),
            ("l-unseen", [point.length_p50 for point in series.points]),
        ],
        _("Length of answers over time"),
        _("Half have at most %(half)s tokens, 95 of 100 at most %(long)s")
        % {"half": f"{total.length_p50:,.0f}", "long": f"{total.length_p95:,.0f}"},
        chart_id="chart-lengths",
        start=start,
        end=end,
    )


def _refused(series: TimeSeries, start: str, end: str) -> SafeString:
    total = series.total
    return stacked_bars(
        [
            ("rest", [float(point.text_answers - point.refused) for point in series.points]),
            ("amber", [float(point.refused) for point in series.points]),
        ],
        _("Refusals over time"),
        _("%(refused)s of %(answers)s answers refused")
        % {"refused": f"{total.refused:,}", "answers": f"{total.text_answers:,}"},
        chart_id="chart-refused",
        start=start,
        end=end,
    )


def _feedback(series: TimeSeries, start: str, end: str) -> SafeString:
    return stacked_bars(
        [
            ("accent", [float(point.up) for point in series.points]),
            ("red", [float(point.down) for point in series.points]),
        ],
        _("Opinions over time"),
        _("%(up)d helpful, %(down)d not helpful") % {"up": series.up, "down": series.down},
        chart_id="chart-thumbs",
        start=start,
        end=end,
    )


def _cost(series: TimeSeries, price: Price, start: str, end: str) -> SafeString:
    return stacked_bars(
        [("ink", [price.cost(point.usage) or 0.0 for point in series.points])],
        _("Cost over time"),
        _("%(cost)s in all") % {"cost": price.cost_text(series.total.usage)},
        chart_id="chart-cost",
        format_value=price.format,
        start=start,
        end=end,
    )


def _busiest(points: Sequence[Point]) -> str:
    busiest = max(points, key=lambda point: point.usage.requests)
    return f"{busiest.at:%d %b %H:%M} UTC"
