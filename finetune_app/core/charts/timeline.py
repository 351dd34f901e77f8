"""Large time series: stacked bars, or lines with gaps.

The highest value is at the top left, the ends of the period below. The page has a legend beside
the chart and a table with all numbers below it.
"""

from collections.abc import Callable, Sequence

from django.utils.html import escape
from django.utils.safestring import SafeString, mark_safe

from finetune_app.core.charts.svg import n_, rect, text

TOP, PLOT_HEIGHT = 20, 84  # pixels: above the plot, and the plot itself
FLOOR = TOP + PLOT_HEIGHT
Format = Callable[[float], str]


def _plain(value: float) -> str:
    return f"{value:,.0f}"


def stacked_bars(
    series: Sequence[tuple[str, Sequence[float]]],
    title: str,
    words: str,
    *,
    chart_id: str,
    start: str = "",
    end: str = "",
    format_value: Format = _plain,
) -> SafeString:
    """Stacked bars over time. series: (kind, values) from bottom to top, where kind is ink,
    accent, amber, red or rest. words: the text alternative."""
    columns = list(zip(*(values for _kind, values in series), strict=True))
    most = max((sum(column) for column in columns), default=0)
    wide = 100 / max(len(columns), 1)
    parts = []
    for place, column in enumerate(columns):
        below = 0.0
        for (kind, _values), value in zip(series, column, strict=True):
            if value > 0:
                high = max(PLOT_HEIGHT * value / most, 1)
                parts.append(
                    rect(f"f-{kind}", place * wide, wide * 0.76, FLOOR - below - high, high)
                )
                below += high
    return _framed(
        "".join(parts), title, words, chart_id, start, end, format_value(most) if most else ""
    )


def time_lines(
    series: Sequence[tuple[str, Sequence[float | None]]],
    title: str,
    words: str,
    *,
    chart_id: str,
    start: str = "",
    end: str = "",
    format_value: Format = _plain,
) -> SafeString:
    """Lines over time; the y axis starts at 0. series: (CSS class, values); None is a gap, and
    a value between two gaps is a dot."""
    every = [value for _kind, values in series for value in values if value is not None]
    most = max(every, default=0)
    slots = max((len(values) for _kind, values in series), default=1)
    wide = 100 / max(slots, 1)
    lines, dots = [], []
    for kind, values in series:
        places = ""
        for place, here in enumerate(values):
            if here is None:
                continue
            before = values[place - 1] if place else None
            after = values[place + 1] if place + 1 < len(values) else None
            x, down = (place + 0.5) * wide, 100 * (1 - here / most) if most else 100.0
            if before is None and after is None:
                high = n_(TOP + PLOT_HEIGHT * down / 100)
                dots.append(f'<circle class="spot-{kind}" cx="{n_(x)}%" cy="{high}" r="2.5"/>')
            places += f"{'M' if before is None else 'L'}{n_(x)} {n_(down)}"
        lines.append(f'<path class="{kind}" d="{places}"/>' if places else "")
    inside = (
        f'<svg y="{TOP}" width="100%" height="{PLOT_HEIGHT}" viewBox="0 0 100 100"'
        f' preserveAspectRatio="none" overflow="visible">{"".join(lines)}</svg>' + "".join(dots)
    )
    return _framed(inside, title, words, chart_id, start, end, format_value(most) if every else "")


def _framed(
    inside: str, title: str, words: str, chart_id: str, start: str, end: str, most: str
) -> SafeString:
    name = escape(chart_id)
    grid = (
        f'<line class="grid" x1="0" x2="100%" y1="{TOP - 0.5}" y2="{TOP - 0.5}"/>'
        f'<line class="grid" x1="0" x2="100%" y1="{FLOOR + 0.5}" y2="{FLOOR + 0.5}"/>'
    )
    axis = text(0, str(TOP - 7), most) if most else ""
    axis += text(0, str(FLOOR + 16), start) if start else ""
    axis += text(100, str(FLOOR + 16), end, anchor="end") if end else ""
    return mark_safe(
        f'<svg class="chart timeline" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(words)}</desc>'
        f"{grid}{inside}{axis}</svg>"
    )
