"""Bars: progress, memory, health, and sparklines."""

from collections.abc import Sequence
from itertools import pairwise

from django.utils.safestring import SafeString, mark_safe

from finetune_app.core.charts.svg import drawing, n_, rect, text


def passes(step: int, total_steps: int, total_passes: int = 1, word: str = "Pass") -> SafeString:
    """Progress of a training: one bar per epoch, or a single bar above 8 epochs."""
    count = total_passes if 1 <= total_passes <= 8 else 1
    share = min(max(step / total_steps, 0), 1) if total_steps else 0.0
    gap = 0.5 if count > 1 else 0
    width = (100 - gap * (count - 1)) / count
    done = share * count
    now = min(int(done) + 1, count)
    tracks, fills, words = [], [], []
    for n in range(count):
        left = n * (width + gap)
        tracks.append(rect("f-track", left, width, 0, 10, 2))
        part = min(max(done - n, 0), 1)
        if part > 0:
            fills.append(rect("f-accent", left, width * part, 0, 10, 2))
        is_now = n + 1 == now
        if count > 1 and (is_now or count <= 4):  # more words would run into each other
            name = f"{word} {n + 1}" + (f" of {count}" if is_now else "")
            at, anchor = (left + width, "end") if count > 4 and left > 50 else (left, "")
            kind = "strong" if is_now else ""
            words.append(text(at, "28", name, kind=kind, anchor=anchor))
    label = f"Step {step:,} of {total_steps:,}"
    if count > 1:
        label += f": pass {now} of {count}"
    kind = "passes" if count > 1 else "one-bar"
    return drawing(kind, "".join(tracks + fills + words), label)


def bar(done: float, total: float, label: str = "") -> SafeString:
    """One plain bar: `done` of `total`. With a total of 0 the bar is empty, not full."""
    share = 100 * min(max(done / total, 0), 1) if total else 0
    inside = rect("f-track", 0, 100, 0, 10, 2)
    if share:
        inside += rect("f-accent", 0, share, 0, 10, 2)
    return drawing("one-bar", inside, label or f"{done:,.0f} of {total:,.0f}")


def thin_bar(done: float, total: float) -> SafeString:
    """A thin decorative bar (labelling); the page shows the numbers as text."""
    share = 100 * min(max(done / total, 0), 1) if total else 0
    return drawing("thin-bar", rect("f-accent", 0, share, 0, 3))


def sparkline(values: Sequence[float], label: str, *, start: str = "", end: str = "") -> SafeString:
    """A small line over time, described by `label`. Fewer than two values draw no line."""
    inside = ""
    if len(values) > 1:
        top = max(max(values), 0) or 1
        places = "L".join(f"{n} {n_(top - v)}" for n, v in enumerate(values))
        inside = (
            f'<svg width="100%" height="40" viewBox="0 0 {len(values) - 1} {n_(top)}"'
            f' preserveAspectRatio="none" overflow="visible">'
            f'<path class="l-unseen" d="M{places}"/></svg>'
        )
    return drawing("spark", inside + _spark_axis(start, end), label)


def spark_bars(
    values: Sequence[float], label: str, *, kind: str = "ink", start: str = "", end: str = ""
) -> SafeString:
    """Small bars over time. kind: ink, accent, amber or red."""
    top = max(values, default=0) or 1
    step = 100 / max(len(values), 1)
    bars = "".join(
        rect(f"f-{kind}", n * step, step * 0.72, 40 * (1 - v / top), 40 * v / top)
        for n, v in enumerate(values)
        if v > 0
    )
    return drawing("spark", bars + _spark_axis(start, end), label)


def _spark_axis(start: str, end: str) -> str:
    line = '<line class="grid" x1="0" x2="100%" y1="40.5" y2="40.5"/>'
    words = text(0, "54", start) if start else ""
    return line + words + (text(100, "54", end, anchor="end") if end else "")


def memory_bar(needed: float, free: float, scale: float, label: str) -> SafeString:
    """Needed and free memory on a common scale; all three in the same unit.

    Teal where it fits, amber up to a quarter above, red beyond; a mark at the free memory.
    """
    kind = "f-accent" if needed <= free else "f-amber" if needed <= 1.25 * free else "f-red"
    share = 100 * min(needed / scale, 1) if scale else 0
    at = n_(100 * min(free / scale, 1) if scale else 0)
    return drawing(
        "memory",
        rect("f-track", 0, 100, 8, 8, 2)
        + rect(kind, 0, share, 8, 8, 2)
        + f'<line class="free" x1="{at}%" x2="{at}%" y1="2" y2="22"/>',
        label,
    )


def memory_scale(free: float, scale: float, unit: str = "GB") -> SafeString:
    """The scale above memory bars: free memory and the scale's end."""
    at = 100 * min(free / scale, 1) if scale else 0
    anchor = "start" if at < 60 else "end"
    words = text(0, "14", "Memory") if at > 20 else ""
    words += text(at, "14", f"{free:.1f} {unit} free", kind="strong", anchor=anchor)
    if at < 80:
        words += text(100, "14", f"{scale:.0f} {unit}", anchor="end")
    return drawing("memory-scale", words, f"Memory, up to {scale:.0f} {unit}; {free:.1f} are free")


def health_bar(score: int, missing: Sequence[int]) -> SafeString:
    """A score out of 100, and the gain from each finding, largest first."""
    pieces = [rect("f-accent", 0, max(score - 0.3, 0), 12, 12, 1)]
    words = [text(0, "39", "0"), text(score, "39", str(score), kind="strong", anchor="end")]
    edges = [score, *(score + sum(missing[: n + 1]) for n in range(len(missing)))]
    for (left, right), points in zip(pairwise(edges), missing, strict=True):
        pieces.append(rect("f-amber", left, max(right - left - 0.3, 0.3), 12, 12, 1))
        if points >= 3:
            words.append(text((left + right) / 2, "39", f"+{points}", anchor="middle"))
    listed = ", ".join(str(m) for m in missing)
    label = f"{score} of 100" + (f". The findings below would add {listed}" if missing else "")
    return drawing("health-bar", "".join(pieces + words), label)


def gain(points: int, most: int, width: int = 44) -> SafeString:
    """A short amber bar: the gain of one finding relative to the largest."""
    long = max(4, round(width * points / most)) if most else 4
    return mark_safe(
        f'<svg class="gain-bar" width="{long}" height="12" aria-hidden="true">'
        '<rect class="f-amber" width="100%" height="12" rx="1"/></svg>'
    )
