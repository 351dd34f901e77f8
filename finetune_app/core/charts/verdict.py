"""Charts of the verdict: one mark per prompt, and counts with confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

from finetune_app.core.charts.svg import drawing, n_, text

MAX_MARKS = 150  # above this, groups are plain bars: marks would be thinner than gaps
MIN_SLOTS = 30  # with fewer prompts the strip is shorter


def verdict_marks(
    better: int,
    same: int,
    worse: int,
    *,
    noun: str = "prompts",
    urls: dict[str, str] | None = None,
    needed: int = 0,
    chart_id: str = "units",
) -> SafeString:
    """One mark per prompt, in three groups (worse is hatched), with a legend below.

    urls: links for "better", "same" and "worse" (to the filtered table). needed: how many
    more prompts a clear verdict needs; drawn as empty marks.
    """
    hatch = f"{escape(chart_id)}-hatch"
    groups = [
        ("better", better, 'class="f-accent"'),
        ("same", same, 'class="f-rest"'),
        ("worse", worse, f'fill="url(#{hatch})"'),
    ]
    total = better + same + worse
    slots = max(total + needed, MIN_SLOTS)
    label = f"{total} {noun}: {better} better, {same} the same, {worse} worse"
    if needed:
        label += f". About {needed} more would settle it"
    marks = _marks([(count, kind) for _, count, kind in groups], slots, needed)
    svg = drawing("units", _hatch(hatch) + marks, label)
    keys = [
        _mark_key(word, count, round(100 * count / slots), (urls or {}).get(word))
        for word, count, _ in groups
        if count
    ]
    if needed:
        keys.append(_mark_key("more to settle it", needed, 0, None, kind="needed"))
    return format_html(
        '{}<div class="unit-key">{}</div>',
        svg,
        mark_safe("".join(keys)),
    )


def _hatch(name: str) -> str:
    return (
        f'<defs><pattern id="{name}" width="5" height="5" patternUnits="userSpaceOnUse"'
        ' patternTransform="rotate(45)"><rect class="f-red" width="5" height="5"/>'
        '<rect class="f-paper" width="1.6" height="5"/></pattern></defs>'
    )


def _mark_key(word: str, count: int, share: int, url: str | None, kind: str = "") -> SafeString:
    inside = format_html("<b>{} {}</b>", count, word)
    tag = format_html('<a href="{}">{}</a>', url, inside) if url else inside
    return format_html('<span class="p{} {}">{}</span>', share, kind or word, tag)


def _marks(groups: list[tuple[int, str]], slots: int, needed: int) -> str:
    fine = slots > MAX_MARKS
    gap = 0 if fine else min(0.35, 20 / slots)
    width = (100 - gap * (slots - 1)) / slots
    drawn, at = [], 0
    for count, kind in [*groups, (needed, 'class="f-ghost"')]:
        if not count:
            continue
        pieces = 1 if fine else count
        long = width * count - 0.3 if fine else width
        rects = "".join(
            f'<rect x="{n_((at + n) * (width + gap))}%" width="{n_(long)}%" y="0" height="56"/>'
            for n in range(pieces)
        )
        drawn.append(f"<g {kind}>{rects}</g>")
        at += count
    return "".join(drawn)


@dataclass(frozen=True)
class Whisker:
    """A count with its confidence interval. `ours` highlights it (teal)."""

    label: str
    value: float
    low: float
    high: float
    ours: bool = False


def whiskers(rows: Sequence[Whisker], total: float, *, digits: int = 0) -> SafeString:
    """Rows of label, dot with interval, and numbers; one axis from 0 to `total` below."""
    parts = [_whisker_row(row, total, digits) for row in rows]
    ticks = "".join(
        text(
            share,
            "14",
            f"{total * share / 100:.{0 if total >= 8 else digits or 1}f}",
            anchor="middle",
        )
        for share in (0, 25, 50, 75, 100)
    )
    axis = drawing("axis", ticks)
    parts.append(format_html("<span></span>{}<span></span>", axis))
    return format_html('<div class="whisk">{}</div>', mark_safe("".join(parts)))


def _whisker_row(row: Whisker, total: float, digits: int) -> SafeString:
    def x(value: float) -> str:
        return n_(100 * min(max(value / total, 0), 1) if total else 0)

    grid = "".join(
        f'<line class="grid" x1="{s}%" x2="{s}%" y1="0" y2="100%"/>' for s in (0, 25, 50, 75, 100)
    )
    kind = "ours" if row.ours else "theirs"
    marks = (
        f'<line class="reach {kind}" x1="{x(row.low)}%" x2="{x(row.high)}%" y1="50%" y2="50%"/>'
        f'<circle class="spot {kind}" cx="{x(row.value)}%" cy="50%" r="6"/>'
    )
    numbers = [f"{v:,.{digits}f}" for v in (row.value, row.low, row.high)]
    return format_html(
        '<span>{}</span>{}<span class="num"><b>{}</b> <small>{} to {}</small></span>',
        row.label,
        drawing("", grid + marks),
        *numbers,
    )
