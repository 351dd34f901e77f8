"""The live page in words and charts: what the figures of a deployment look like."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from finetune_app.api_keys.models import ApiKey
from finetune_app.core.charts import stacked_bars, time_lines
from finetune_app.core.templatetags.ui import waited
from finetune_app.deployment.models import TROUBLE, Deployment, Drift
from finetune_app.deployment.monitoring import costs, picture
from finetune_app.deployment.monitoring.costs import Price
from finetune_app.deployment.monitoring.picture import Part, Picture, Range, Slot


@dataclass(frozen=True)
class Row:
    """A line of a table: what it is about, its counts, and what it cost ("" when not known)."""

    name: str
    part: Part
    cost: str
    ours: bool = False


def shown(deployment: Deployment, chosen: Range) -> dict[str, Any]:
    """What the page needs."""
    found = picture.of(deployment, chosen)
    price = Price.of(deployment)
    whole = found.whole
    cost = price.cost(whole.sum)
    return {
        "range": chosen,
        "ranges": list(picture.RANGES.values()),
        "whole": whole,
        "up": found.up,
        "down": found.down,
        "price": price,
        "cost": price.say(cost),
        "sentence": sentence(found),
        "charts": _charts(found, price),
        "slots": [(slot, price.say(price.cost(slot.sum))) for slot in found.slots[::-1]],
        "troubles": _troubles(whole),
        "versions": _versions(deployment, found, price),
        "keys_used": _keys(found, price),
        "others": _others(deployment, found),
    }


def sentence(found: Picture) -> str:
    """The figures as somebody would say them."""
    whole = found.whole
    if not whole.sum.requests:
        return _("Nobody has asked it anything in this time.")
    said = ngettext("One request", "%(n)s requests", whole.sum.requests) % {
        "n": f"{whole.sum.requests:,}"
    }
    if not whole.sum.failed:
        said = _("%(requests)s, and none failed.") % {"requests": said}
    else:
        said = ngettext(
            "%(requests)s, of which one failed.",
            "%(requests)s, of which %(n)s failed.",
            whole.sum.failed,
        ) % {"requests": said, "n": f"{whole.sum.failed:,}"}
    if whole.middle is not None and whole.slow is not None:
        said += " " + _("Half were answered within %(half)s, 95 of 100 within %(slow)s.") % {
            "half": waited(whole.middle),
            "slow": waited(whole.slow),
        }
    return said


def _charts(found: Picture, price: Price) -> dict[str, SafeString]:
    slots, whole = found.slots, found.whole
    start, end = str(found.range.ago), _("now")
    answered = [float(slot.sum.requests - slot.sum.failed) for slot in slots]
    failed = [float(slot.sum.failed) for slot in slots]
    charts = {
        "requests": stacked_bars(
            [("ink", answered), ("red", failed)],
            _("Requests over time"),
            _("%(answered)s answered, %(failed)s failed; most at %(busiest)s")
            % {
                "answered": f"{sum(answered):,.0f}",
                "failed": f"{sum(failed):,.0f}",
                "busiest": _busiest(slots),
            },
            chart_id="chart-requests",
            start=start,
            end=end,
        ),
        "waited": time_lines(
            [
                ("l-far", [slot.slowest for slot in slots]),
                ("l-train", [slot.slow for slot in slots]),
                ("l-unseen", [slot.middle for slot in slots]),
            ],
            _("Waiting time over time"),
            _("Half within %(half)s, 95 of 100 within %(slow)s, 99 of 100 within %(slowest)s")
            % {
                "half": waited(whole.middle),
                "slow": waited(whole.slow),
                "slowest": waited(whole.slowest),
            },
            chart_id="chart-waited",
            say=waited,
            start=start,
            end=end,
        ),
        "first": time_lines(
            [
                ("l-train", [slot.first_slow for slot in slots]),
                ("l-unseen", [slot.first for slot in slots]),
            ],
            _("Time to the first word over time"),
            _("Half within %(half)s, 95 of 100 within %(slow)s")
            % {"half": waited(whole.first), "slow": waited(whole.first_slow)},
            chart_id="chart-first",
            say=waited,
            start=start,
            end=end,
        ),
        "tokens": stacked_bars(
            [
                ("rest", [float(slot.sum.prompt_tokens) for slot in slots]),
                ("accent", [float(slot.sum.tokens) for slot in slots]),
            ],
            _("Tokens over time"),
            _("%(read)s read, %(written)s written")
            % {"read": f"{whole.sum.prompt_tokens:,}", "written": f"{whole.sum.tokens:,}"},
            chart_id="chart-tokens",
            start=start,
            end=end,
        ),
    }
    charts |= _behaviour(found, start, end)
    if found.up or found.down:
        charts["thumbs"] = stacked_bars(
            [
                ("accent", [float(slot.up) for slot in slots]),
                ("red", [float(slot.down) for slot in slots]),
            ],
            _("Opinions over time"),
            _("%(up)d helpful, %(down)d not helpful") % {"up": found.up, "down": found.down},
            chart_id="chart-thumbs",
            start=start,
            end=end,
        )
    if price.is_set:
        charts["cost"] = stacked_bars(
            [("ink", [price.cost(slot.sum) or 0.0 for slot in slots])],
            _("Cost over time"),
            _("%(cost)s in all") % {"cost": price.say(price.cost(whole.sum))},
            chart_id="chart-cost",
            say=price.say,
            start=start,
            end=end,
        )
    return charts


def _behaviour(found: Picture, start: str, end: str) -> dict[str, SafeString]:
    """Of answers in words: how long they were, and how many refused."""
    slots, whole = found.slots, found.whole
    if not whole.answers:
        return {}
    return {
        "lengths": time_lines(
            [
                ("l-train", [slot.longest for slot in slots]),
                ("l-unseen", [slot.length for slot in slots]),
            ],
            _("Length of answers over time"),
            _("Half have at most %(half)s tokens, 95 of 100 at most %(long)s")
            % {"half": f"{whole.length:,.0f}", "long": f"{whole.longest:,.0f}"},
            chart_id="chart-lengths",
            start=start,
            end=end,
        ),
        "refused": stacked_bars(
            [
                ("rest", [float(slot.answers - slot.refused) for slot in slots]),
                ("amber", [float(slot.refused) for slot in slots]),
            ],
            _("Refusals over time"),
            _("%(refused)s of %(answers)s answers refused")
            % {"refused": f"{whole.refused:,}", "answers": f"{whole.answers:,}"},
            chart_id="chart-refused",
            start=start,
            end=end,
        ),
    }


def drift_chart(found: Sequence[Drift]) -> SafeString:
    """Findings in the order of time: how many of 100 pairs were told apart, beside what luck
    reaches."""
    first, last = found[0], found[-1]
    return time_lines(
        [
            ("l-far", [float(one.luck) for one in found]),
            ("l-unseen", [float(one.apart) for one in found]),
        ],
        _("Drift over time"),
        _(
            "Of 100 pairs %(then)d were told apart at first and %(now)d at last; luck alone rarely "
            "reaches more than %(luck)d"
        )
        % {"then": first.apart, "now": last.apart, "luck": last.luck},
        chart_id="chart-drift",
        start=f"{first.created_at:%d %b}",
        end=f"{last.created_at:%d %b}",
    )


def _busiest(slots: Sequence[Slot]) -> str:
    most = max(slots, key=lambda slot: slot.sum.requests)
    return f"{most.at:%d %b %H:%M} UTC"


def _troubles(whole: Part) -> list[tuple[str, str, int]]:
    """(in words, its code, how often), the most frequent first."""
    return [
        (str(TROUBLE.get(code, _("It could not be read"))), code, count)
        for code, count in whole.pace.errors.most_common()
    ]


def _versions(deployment: Deployment, found: Picture, price: Price) -> list[Row]:
    releases = deployment.releases.select_related("candidate").in_bulk(
        [pk for pk in found.by_release if pk]
    )
    newest = deployment.current
    rows = [
        Row(
            _("Version %(n)d: %(name)s") % {"n": one.number, "name": one.candidate.name},
            found.by_release[pk],
            price.say(price.cost(found.by_release[pk].sum)),
            ours=newest is not None and newest.pk == pk,
        )
        for pk, one in sorted(releases.items(), reverse=True)
    ]
    lost = [part for pk, part in found.by_release.items() if pk not in releases]
    return rows + [Row(_("No version"), part, price.say(price.cost(part.sum))) for part in lost]


def _keys(found: Picture, price: Price) -> list[Row]:
    names = dict(
        ApiKey.objects.filter(pk__in=[pk for pk in found.by_key if pk]).values_list("pk", "name")
    )
    most = sorted(found.by_key.items(), key=lambda item: -item[1].sum.requests)
    return [
        Row(
            names.get(pk or 0, _("A page of ours, or a key that is gone")),
            part,
            price.say(price.cost(part.sum)),
        )
        for pk, part in most
    ]


def _others(deployment: Deployment, found: Picture) -> list[Row]:
    """Everything of the team that answers, this one among it, by how much it was asked."""
    sums = costs.by_deployment(deployment.team_id, found.slots[0].at)
    every = Deployment.objects.in_bulk([pk for pk in sums if pk])
    rows = []
    for pk, one in sorted(sums.items(), key=lambda item: -item[1].requests):
        live = every.get(pk or 0)
        price = Price.of(live) if live else None
        name = live.name if live else _("Base models, asked directly")
        cost = price.say(price.cost(one)) if price else ""
        rows.append(Row(name, Part(one), cost, ours=pk == deployment.pk))
    return rows
