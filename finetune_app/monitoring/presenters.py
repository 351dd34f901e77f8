"""Template context of the monitoring page."""

from dataclasses import dataclass
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.templatetags.ui import waited
from finetune_app.deployment.models import Deployment, Release
from finetune_app.monitoring.charts import charts_of
from finetune_app.monitoring.costs import Price
from finetune_app.monitoring.timeseries import (
    RANGES,
    Metrics,
    Point,
    Range,
    TimeSeries,
    timeseries_of,
)
from finetune_app.request_log.models.requests import error_label


@dataclass(frozen=True)
class UsageRow:
    """A table row: usage and cost of a version, a key or a deployment."""

    name: str
    metrics: Metrics
    cost: str  # "" if unknown
    is_current: bool = False


def page_figures(deployment: Deployment, current: Release | None, chosen: Range) -> dict[str, Any]:
    """Everything that is computed from requests."""
    series = timeseries_of(deployment, chosen)
    price = Price.of(deployment)
    return {
        "range": chosen,
        "ranges": list(RANGES.values()),
        "total": series.total,
        "up": series.up,
        "down": series.down,
        "price": price,
        "cost": price.cost_text(series.total.usage),
        "sentence": sentence(series),
        "charts": charts_of(series, price),
        "rows_over_time": [(point.at, _cells(point, price)) for point in series.points[::-1]],
        "errors": _errors(series.total),
        "versions": _versions(deployment, current, series, price),
        "keys_used": _keys(series, price),
        "deployments": _deployments(deployment, series),
    }


def sentence(series: TimeSeries) -> str:
    """The figures in one or two sentences."""
    total = series.total
    if not total.usage.requests:
        return _("Nobody has asked it anything in this time.")
    words = ngettext("One request", "%(n)s requests", total.usage.requests) % {
        "n": f"{total.usage.requests:,}"
    }
    if not total.usage.failed:
        words = _("%(requests)s, and none failed.") % {"requests": words}
    else:
        words = ngettext(
            "%(requests)s, of which one failed.",
            "%(requests)s, of which %(n)s failed.",
            total.usage.failed,
        ) % {"requests": words, "n": f"{total.usage.failed:,}"}
    if total.latency_p50 is not None and total.latency_p95 is not None:
        words += " " + _("Half were answered within %(half)s, 95 of 100 within %(slow)s.") % {
            "half": waited(total.latency_p50),
            "slow": waited(total.latency_p95),
        }
    return words


def _cells(point: Point, price: Price) -> list[str]:
    """A row of the table. Formatted by filters, its hundreds of cells took a fifth of the page."""
    usage = point.usage
    return [
        f"{usage.requests:,}",
        f"{usage.failed:,}",
        waited(point.latency_p50),
        waited(point.latency_p95),
        waited(point.latency_p99),
        waited(point.first_token_p50),
        f"{usage.prompt_tokens:,}",
        f"{usage.tokens:,}",
        "–" if point.length_p50 is None else f"{point.length_p50:,.0f}",
        f"{point.refused:,}",
        price.cost_text(usage) if price.is_set else _("not set"),
    ]


def _errors(total: Metrics) -> list[tuple[str, str, int]]:
    """(in words, error code, count), the most frequent first."""
    return [(error_label(code), code, count) for code, count in total.stats.errors.most_common()]


def _versions(
    deployment: Deployment, current: Release | None, series: TimeSeries, price: Price
) -> list[UsageRow]:
    used = {pk for pk in series.by_release if pk}
    known = {current.pk: current} if current and current.pk in used else {}
    others = deployment.releases.select_related("candidate").in_bulk(used - known.keys())
    releases = known | others
    rows = [
        UsageRow(
            _("Version %(n)d: %(name)s") % {"n": release.number, "name": release.candidate.name},
            series.by_release[pk],
            price.cost_text(series.by_release[pk].usage),
            is_current=current is not None and current.pk == pk,
        )
        for pk, release in sorted(releases.items(), reverse=True)
    ]
    deleted = [metrics for pk, metrics in series.by_release.items() if pk not in releases]
    return rows + [
        UsageRow(_("No version"), metrics, price.cost_text(metrics.usage)) for metrics in deleted
    ]


def _keys(series: TimeSeries, price: Price) -> list[UsageRow]:
    """The one with the most requests first."""
    names = dict(
        ApiKey.objects.filter(pk__in=[pk for pk in series.by_key if pk]).values_list("pk", "name")
    )
    busiest = sorted(series.by_key.items(), key=lambda item: -item[1].usage.requests)
    return [
        UsageRow(
            names.get(pk or 0, _("A page of ours, or a deleted key")),
            metrics,
            price.cost_text(metrics.usage),
        )
        for pk, metrics in busiest
    ]


def _deployments(deployment: Deployment, series: TimeSeries) -> list[UsageRow]:
    """Every deployment of the team, including this one; the one with the most requests first."""
    others = [pk for pk in series.by_deployment if pk and pk != deployment.pk]
    deployments = {deployment.pk: deployment} | Deployment.objects.in_bulk(others)
    rows = []
    for pk, usage in sorted(series.by_deployment.items(), key=lambda item: -item[1].requests):
        found = deployments.get(pk or 0)
        name = found.name if found else _("Base models, asked directly")
        cost = Price.of(found).cost_text(usage) if found else ""
        rows.append(UsageRow(name, Metrics(usage), cost, is_current=pk == deployment.pk))
    return rows
