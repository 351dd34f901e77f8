"""The loss curve of a training."""

import math
from collections.abc import Callable, Iterable, Sequence

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from finetune_app.core.charts.svg import n_, text

Point = tuple[float, float]  # (step, loss)
Place = Callable[[float], float]

PLOT = 88.0  # percent of the height for the plot; the axis labels are below it


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
    """Loss by step on training examples (thin) and practice examples (teal, with dots).

    Points are (step, loss in nats per token); non-finite points are left out. The y axis
    starts at 0 and ends at a round number above the largest loss.
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
        f'<line class="tick" x1="{n_(x(s))}%" x2="{n_(x(s))}%" y1="0" y2="{PLOT}%"/>'
        for s in passes
    ]
    parts.append(
        f'<svg width="100%" height="{PLOT}%" viewBox="0 0 {steps} {n_(top)}"'
        f' preserveAspectRatio="none" overflow="visible">'
        f"{_line('l-train', train, top)}{_line('l-unseen', validation, top)}</svg>"
    )
    for n, (step, loss) in enumerate(validation):
        radius = 6 if n == len(validation) - 1 else 4
        parts.append(f'<circle class="dot" cx="{n_(x(step))}%" cy="{n_(y(loss))}%" r="{radius}"/>')
    parts += _line_ends(train, validation, x, y, seen, unseen)
    parts += _step_axis(steps, passes, x)
    inside = "".join(parts)
    return mark_safe(
        f'<svg class="chart loss" role="img" aria-labelledby="{escape(chart_id)}-t'
        f' {escape(chart_id)}-d">{inside}</svg>'
    )


def _finite(points: Sequence[Point]) -> list[Point]:
    return [(s, v) for s, v in points if math.isfinite(s) and math.isfinite(v)]


def _round_axis(largest: float) -> tuple[float, float]:
    """The end of an axis and the distance of its three or four grid lines, as round numbers."""
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


def _loss_grid(top: float, tick: float, y: Place) -> list[str]:
    parts = []
    digits = 0 if tick >= 1 else 1 if tick >= 0.1 else 2
    for n in range(round(top / tick) + 1):
        level = n * tick
        parts.append(
            f'<line class="grid" x1="0" x2="100%" y1="{n_(y(level))}%" y2="{n_(y(level))}%"/>'
        )
        if n == 0:
            continue
        last = n == round(top / tick)
        words = f"loss {level:.{digits}f}" if last else f"{level:.{digits}f}"
        shift = 16 if last else -6
        parts.append(text(100, f"{n_(y(level))}%", words, anchor="end", more=f' dy="{shift}"'))
    return parts


def _line(kind: str, points: list[Point], top: float) -> str:
    if not points:
        return ""
    places = "L".join(f"{n_(step)} {n_(top - loss)}" for step, loss in points)
    return f'<path class="{kind}" d="M{places}"/>'


def _line_ends(
    train: list[Point], validation: list[Point], x: Place, y: Place, seen: str, unseen: str
) -> list[str]:
    """Labels at the ends of the lines, moved apart if they would overlap."""
    ends = []
    if validation:
        ends.append((*validation[-1], unseen, "teal", -4))
    if train:
        ends.append((*train[-1], seen, "", 12))
    parts: list[str] = []
    first: tuple[float, int] | None = None  # position of the first label
    for step, loss, name, kind, shift in ends:
        at, late = y(loss), x(step) > 78
        anchor, dx = ("end", -12) if late else ("start", 14)
        dy = (-10 if name == unseen else 20) if late else shift
        if first and abs(at - first[0]) < 5:  # percent of the height: about one line of text
            if loss <= ends[0][1] and first[0] < PLOT - 8:
                at = first[0] + 5
            else:  # above the other label, since the axis is below
                at, dy = first[0] - 5, first[1]
        first = first or (at, dy)
        parts.append(
            text(
                x(step),
                f"{n_(at)}%",
                f"{name} {loss:.2f}",
                kind=f"{kind} halo".strip(),
                anchor=anchor,
                more=f' dx="{dx}" dy="{dy}"',
            )
        )
    return parts


def _pass_ends(steps: int, steps_per_pass: float | None) -> list[float]:
    """Ends of epochs, except the last; none for more than 8."""
    if not steps_per_pass or steps_per_pass >= steps:
        return []
    ends = [n * steps_per_pass for n in range(1, math.ceil(steps / steps_per_pass))]
    ends = [end for end in ends if end < steps - 0.5]
    return ends if len(ends) <= 8 else []


def _step_axis(steps: int, passes: list[float], x: Place) -> list[str]:
    inner = passes if len(passes) <= 4 else []
    if not inner and steps >= 4:
        inner = [steps / 2]
    parts = [text(0, "97%", "step 0", anchor="start")]
    parts += [text(x(s), "97%", f"{s:.0f}", anchor="middle") for s in inner if 12 < x(s) < 90]
    return [*parts, text(100, "97%", f"{steps:,}", anchor="end")]
