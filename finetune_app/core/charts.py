"""Charts drawn on the server as SVG: words and numbers in, safe markup out.

How they scale: the outer svg has no viewBox, so text keeps its size and places are percentages;
lines live in an inner svg that stretches (preserveAspectRatio="none", strokes do not scale).
Colours are classes (charts.css); there is no style attribute anywhere, so a strict
Content-Security-Policy holds. Every chart that says something says it in words too.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe

Point = tuple[float, float]  # (step, loss)


def _n(value: float) -> str:
    """A coordinate, as short as it can be: 12, 12.5, 0.03."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def _svg(kind: str, inside: str, label: str = "") -> SafeString:
    said = format_html('role="img" aria-label="{}"', label) if label else 'aria-hidden="true"'
    return mark_safe(f'<svg class="chart {kind}" {said}>{inside}</svg>')  # noqa: S308


def _rect(kind: str, x: float, width: float, y: float, height: float, round_: float = 0) -> str:
    """A rectangle: x and width in percent, y and height in pixels."""
    corner = f' rx="{_n(round_)}"' if round_ else ""
    return (
        f'<rect class="{kind}" x="{_n(x)}%" width="{_n(max(width, 0))}%"'
        f' y="{_n(y)}" height="{_n(max(height, 0))}"{corner}/>'
    )


def _text(x: float, y: str, words: str, *, kind: str = "", anchor: str = "", more: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{_n(x)}%" y="{y}"{attributes}{more}>{escape(words)}</text>'


# ---- The loss curve ----

PLOT = 88.0  # percent of the height that is plot; below it the axis is written


def loss_chart(
    train: Sequence[Point],
    validation: Sequence[Point],
    total_steps: int,
    *,
    steps_per_pass: float | None = None,
    seen: str = "seen",
    unseen: str = "unseen",
    chart_id: str = "loss",
) -> SafeString:
    """Loss by step, for what it learns from (thin) and what it has never seen (teal, with dots).

    Points are (step, loss) in nats a token; points that are not finite numbers are left out.
    The height starts at 0 and ends at a round number above the largest loss.
    """
    train, validation = _finite(train), _finite(validation)
    top, tick = _round_axis(max((loss for _, loss in (*train, *validation)), default=1.0))
    steps = max(total_steps, 1, *(math.ceil(step) for step, _ in (*train, *validation)))

    def x(step: float) -> float:
        return 100 * step / steps

    def y(loss: float) -> float:
        return PLOT * (1 - loss / top)

    parts = [*_loss_words(train, validation, chart_id, seen, unseen)]
    parts += _loss_grid(top, tick, y)
    passes = _pass_ends(steps, steps_per_pass)
    parts += [
        f'<line class="tick" x1="{_n(x(s))}%" x2="{_n(x(s))}%" y1="0" y2="{PLOT}%"/>'
        for s in passes
    ]
    parts.append(
        f'<svg width="100%" height="{PLOT}%" viewBox="0 0 {steps} {_n(top)}"'
        f' preserveAspectRatio="none" overflow="visible">'
        f"{_line('l-train', train, top)}{_line('l-unseen', validation, top)}</svg>"
    )
    for n, (step, loss) in enumerate(validation):
        radius = 6 if n == len(validation) - 1 else 4
        parts.append(
            f'<circle class="dot" cx="{_n(x(step))}%" cy="{_n(y(loss))}%" r="{radius}"/>'
        )
    parts += _line_ends(train, validation, x, y, seen, unseen)
    parts += _step_axis(steps, passes, x)
    inside = "".join(parts)
    return mark_safe(  # noqa: S308  built from numbers and escaped words
        f'<svg class="chart loss" role="img" aria-labelledby="{escape(chart_id)}-t'
        f' {escape(chart_id)}-d">{inside}</svg>'
    )


def _finite(points: Sequence[Point]) -> list[Point]:
    return [(s, v) for s, v in points if math.isfinite(s) and math.isfinite(v)]


def _round_axis(largest: float) -> tuple[float, float]:
    """The end of an axis and the distance between its lines: three or four lines, round numbers."""
    if largest <= 0:
        return 1.0, 0.5
    rough = largest / 3
    size = 10.0 ** math.floor(math.log10(rough))
    tick = next(m * size for m in (1, 2, 2.5, 5, 10) if m * size >= rough * 0.999)
    return math.ceil(largest / tick - 1e-9) * tick, tick


def _loss_words(
    train: list[Point], validation: list[Point], chart_id: str, seen: str, unseen: str
) -> Iterable[str]:
    lines = []
    for name, points in ((seen, train), (unseen, validation)):
        if points:
            lines.append(f"{name}: {points[0][1]:.2f} at the start, {points[-1][1]:.2f} now")
    trend = ""
    if len(validation) > 1:
        best = min(loss for _, loss in validation)
        still = validation[-1][1] <= best
        trend = f". {unseen.capitalize()} is {'at its lowest' if still else 'no longer falling'}"
    words = "; ".join(lines) + trend or "No measurements yet"
    yield (
        f'<title id="{escape(chart_id)}-t">'
        "How surprised the model is by the right answer, step by step</title>"
    )
    yield f'<desc id="{escape(chart_id)}-d">{escape(words)}.</desc>'


def _loss_grid(top: float, tick: float, y) -> list[str]:  # type: ignore[no-untyped-def]
    parts = []
    digits = 0 if tick >= 1 else 1 if tick >= 0.1 else 2
    for n in range(round(top / tick) + 1):
        level = n * tick
        parts.append(
            f'<line class="grid" x1="0" x2="100%" y1="{_n(y(level))}%" y2="{_n(y(level))}%"/>'
        )
        if n == 0:
            continue
        last = n == round(top / tick)
        words = f"loss {level:.{digits}f}" if last else f"{level:.{digits}f}"
        shift = 16 if last else -6
        parts.append(_text(100, f"{_n(y(level))}%", words, anchor="end", more=f' dy="{shift}"'))
    return parts


def _line(kind: str, points: list[Point], top: float) -> str:
    if not points:
        return ""
    places = "L".join(f"{_n(step)} {_n(top - loss)}" for step, loss in points)
    return f'<path class="{kind}" d="M{places}"/>'


def _line_ends(train, validation, x, y, seen: str, unseen: str) -> list[str]:  # type: ignore[no-untyped-def]
    """The names at the ends of the lines, pushed apart when the lines end close together."""
    ends = []
    if validation:
        ends.append((*validation[-1], unseen, "teal", -4))
    if train:
        ends.append((*train[-1], seen, "", 12))
    parts, used = [], []
    for step, loss, name, kind, shift in ends:
        at = y(loss)
        if used and abs(at - used[0]) < 5:  # percent of the height: about one line of text
            at = used[0] + (5 if loss <= ends[0][1] else -5)
        used.append(at)
        late = x(step) > 78
        anchor, dx = ("end", -12) if late else ("start", 14)
        dy = (-10 if name == unseen else 20) if late else shift
        parts.append(
            _text(
                x(step), f"{_n(at)}%", f"{name} {loss:.2f}",
                kind=f"{kind} halo".strip(), anchor=anchor, more=f' dx="{dx}" dy="{dy}"',
            )
        )  # fmt: skip
    return parts


def _pass_ends(steps: int, steps_per_pass: float | None) -> list[float]:
    """Where a pass over the data ends, but not at the very end; at most 8, else none."""
    if not steps_per_pass or steps_per_pass >= steps:
        return []
    ends = [n * steps_per_pass for n in range(1, math.ceil(steps / steps_per_pass))]
    ends = [end for end in ends if end < steps - 0.5]
    return ends if len(ends) <= 8 else []


def _step_axis(steps: int, passes: list[float], x) -> list[str]:  # type: ignore[no-untyped-def]
    inner = passes if len(passes) <= 4 else []
    if not inner and steps >= 4:
        inner = [steps / 2]
    parts = [_text(0, "97%", "step 0", anchor="start")]
    parts += [_text(x(s), "97%", f"{s:.0f}", anchor="middle") for s in inner if 12 < x(s) < 90]
    return [*parts, _text(100, "97%", f"{steps:,}", anchor="end")]


# ---- Progress ----


def passes(step: int, total_steps: int, total_passes: int = 1, word: str = "Pass") -> SafeString:
    """How far a training is: one bar for each pass over the data, up to 8; else one bar."""
    count = total_passes if 1 <= total_passes <= 8 else 1
    share = min(max(step / total_steps, 0), 1) if total_steps else 0.0
    gap = 0.5 if count > 1 else 0
    width = (100 - gap * (count - 1)) / count
    done = share * count
    now = min(int(done) + 1, count)
    tracks, fills, words = [], [], []
    for n in range(count):
        left = n * (width + gap)
        tracks.append(_rect("f-track", left, width, 0, 10, 2))
        part = min(max(done - n, 0), 1)
        if part > 0:
            fills.append(_rect("f-accent", left, width * part, 0, 10, 2))
        if count > 1:
            name = f"{word} {n + 1}" + (f" of {count}" if n + 1 == now else "")
            words.append(_text(left, "28", name, kind="strong" if n + 1 == now else ""))
    label = f"Step {step:,} of {total_steps:,}"
    if count > 1:
        label += f": pass {now} of {count}"
    kind = "passes" if count > 1 else "one-bar"
    return _svg(kind, "".join(tracks + fills + words), label)


def bar(done: float, total: float, label: str = "") -> SafeString:
    """One plain bar: `done` of `total`. With a total of 0 the bar is empty, not full."""
    share = 100 * min(max(done / total, 0), 1) if total else 0
    inside = _rect("f-track", 0, 100, 0, 10, 2)
    if share:
        inside += _rect("f-accent", 0, share, 0, 10, 2)
    return _svg("one-bar", inside, label or f"{done:,.0f} of {total:,.0f}")


def thin_bar(done: float, total: float) -> SafeString:
    """The hairline under a top bar (labelling). Decoration: say the numbers beside it."""
    share = 100 * min(max(done / total, 0), 1) if total else 0
    return _svg("thin-bar", _rect("f-accent", 0, share, 0, 3))


# ---- The verdict ----

MOST_MARKS = 150  # beyond this a mark would be thinner than its gap: groups become plain bars
FEWEST_SLOTS = 30  # with fewer prompts the strip stays short, so that few looks like few


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
    """One mark for each prompt, in three groups (hatched where worse), and a key below.

    urls may give links for "better", "same" and "worse" (to the filtered table). needed: how many
    more prompts would settle it; they are drawn as empty places.
    """
    hatch = f"{escape(chart_id)}-hatch"
    groups = [
        ("better", better, 'class="f-accent"'),
        ("same", same, 'class="f-rest"'),
        ("worse", worse, f'fill="url(#{hatch})"'),
    ]
    total = better + same + worse
    slots = max(total + needed, FEWEST_SLOTS)
    label = f"{total} {noun}: {better} better, {same} the same, {worse} worse"
    if needed:
        label += f". About {needed} more would settle it"
    marks = _marks([(count, kind) for _, count, kind in groups], slots, needed)
    svg = _svg("units", _hatch(hatch) + marks, label)
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
        mark_safe("".join(keys)),  # noqa: S308  escaped above
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
    fine = slots > MOST_MARKS
    gap = 0 if fine else min(0.35, 20 / slots)
    width = (100 - gap * (slots - 1)) / slots
    drawn, at = [], 0
    for count, kind in [*groups, (needed, 'class="f-ghost"')]:
        if not count:
            continue
        pieces = 1 if fine else count
        long = width * count - 0.3 if fine else width
        rects = "".join(
            f'<rect x="{_n((at + n) * (width + gap))}%" width="{_n(long)}%" y="0" height="56"/>'
            for n in range(pieces)
        )
        drawn.append(f"<g {kind}>{rects}</g>")
        at += count
    return "".join(drawn)


@dataclass(frozen=True)
class Whisker:
    """A count with the range it probably lies in. `ours` marks the one in question (teal)."""

    label: str
    value: float
    low: float
    high: float
    ours: bool = False


def whiskers(rows: Sequence[Whisker], total: float, *, digits: int = 0) -> SafeString:
    """Rows of label, dot with its range, and the numbers; one axis from 0 to `total` below."""
    parts = [_whisker_row(row, total, digits) for row in rows]
    ticks = "".join(
        _text(share, "14", f"{total * share / 100:.{0 if total >= 8 else digits or 1}f}",
              anchor="middle")
        for share in (0, 25, 50, 75, 100)
    )  # fmt: skip
    axis = _svg("axis", ticks)
    parts.append(format_html("<span></span>{}<span></span>", axis))
    return format_html('<div class="whisk">{}</div>', mark_safe("".join(parts)))  # noqa: S308


def _whisker_row(row: Whisker, total: float, digits: int) -> SafeString:
    def x(value: float) -> str:
        return _n(100 * min(max(value / total, 0), 1) if total else 0)

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
        row.label, _svg("", grid + marks), *numbers,
    )  # fmt: skip


# ---- Small multiples and other bars ----


def sparkline(values: Sequence[float], label: str, *, start: str = "", end: str = "") -> SafeString:
    """A small line over time; its words are `label`. Fewer than two values draw no line."""
    inside = ""
    if len(values) > 1:
        top = max(max(values), 0) or 1
        places = "L".join(f"{n} {_n(top - v)}" for n, v in enumerate(values))
        inside = (
            f'<svg width="100%" height="40" viewBox="0 0 {len(values) - 1} {_n(top)}"'
            f' preserveAspectRatio="none" overflow="visible">'
            f'<path class="l-unseen" d="M{places}"/></svg>'
        )
    return _svg("spark", inside + _spark_axis(start, end), label)


def spark_bars(
    values: Sequence[float], label: str, *, kind: str = "ink", start: str = "", end: str = ""
) -> SafeString:
    """Small bars over time. kind: ink, accent, amber or red."""
    top = max(values, default=0) or 1
    step = 100 / max(len(values), 1)
    bars = "".join(
        _rect(f"f-{kind}", n * step, step * 0.72, 40 * (1 - v / top), 40 * v / top)
        for n, v in enumerate(values)
        if v > 0
    )
    return _svg("spark", bars + _spark_axis(start, end), label)


def _spark_axis(start: str, end: str) -> str:
    line = '<line class="grid" x1="0" x2="100%" y1="40.5" y2="40.5"/>'
    words = _text(0, "54", start) if start else ""
    return line + words + (_text(100, "54", end, anchor="end") if end else "")


def memory_bar(needed: float, free: float, scale: float, label: str) -> SafeString:
    """What a model needs against what is free, on a scale all rows share. Same unit for all three.

    Teal where it fits, amber up to a quarter over, red beyond; a mark shows what is free.
    """
    kind = "f-accent" if needed <= free else "f-amber" if needed <= 1.25 * free else "f-red"
    share = 100 * min(needed / scale, 1) if scale else 0
    at = _n(100 * min(free / scale, 1) if scale else 0)
    return _svg(
        "memory",
        _rect("f-track", 0, 100, 8, 8, 2)
        + _rect(kind, 0, share, 8, 8, 2)
        + f'<line class="free" x1="{at}%" x2="{at}%" y1="2" y2="22"/>',
        label,
    )


def memory_scale(free: float, scale: float, unit: str = "GB") -> SafeString:
    """The heading above memory bars: what is free, and where the scale ends."""
    at = 100 * min(free / scale, 1) if scale else 0
    anchor = "start" if at < 60 else "end"
    words = _text(0, "14", "Memory") if at > 20 else ""
    words += _text(at, "14", f"{free:.1f} {unit} free", kind="strong", anchor=anchor)
    if at < 80:
        words += _text(100, "14", f"{scale:.0f} {unit}", anchor="end")
    return _svg("memory-scale", words, f"Memory, up to {scale:.0f} {unit}; {free:.1f} are free")


def health_bar(score: int, missing: Sequence[int]) -> SafeString:
    """A score of 100, and what each finding would add back, from the largest."""
    pieces = [_rect("f-accent", 0, max(score - 0.3, 0), 12, 12, 1)]
    words = [_text(0, "39", "0"), _text(score, "39", str(score), kind="strong", anchor="end")]
    edges = [score, *(score + sum(missing[: n + 1]) for n in range(len(missing)))]
    for (left, right), points in zip(pairwise(edges), missing, strict=True):
        pieces.append(_rect("f-amber", left, max(right - left - 0.3, 0.3), 12, 12, 1))
        if points >= 3:
            words.append(_text((left + right) / 2, "39", f"+{points}", anchor="middle"))
    listed = ", ".join(str(m) for m in missing)
    label = f"{score} of 100" + (f". The findings below would add {listed}" if missing else "")
    return _svg("health-bar", "".join(pieces + words), label)


def gain(points: int, most: int, width: int = 44) -> SafeString:
    """A short amber bar for what one finding is worth, against the largest."""
    long = max(4, round(width * points / most)) if most else 4
    return mark_safe(  # noqa: S308  numbers only
        f'<svg class="gain-bar" width="{long}" height="12" aria-hidden="true">'
        '<rect class="f-amber" width="100%" height="12" rx="1"/></svg>'
    )
