"""Charts as SVG, rendered on the server; returns safe markup.

The outer svg has no viewBox, so text keeps its size and positions are percentages; lines are in
an inner svg that stretches (preserveAspectRatio="none", strokes do not scale). Colours are classes
(charts.css) and there are no style attributes, for a strict Content-Security-Policy. Every
informative chart has a text alternative.
"""

from finetune_app.core.charts.bars import (
    bar,
    gain,
    health_bar,
    memory_bar,
    memory_scale,
    passes,
    spark_bars,
    sparkline,
    thin_bar,
)
from finetune_app.core.charts.counts import count_bar, histogram
from finetune_app.core.charts.loss import loss_chart
from finetune_app.core.charts.timeline import stacked_bars, time_lines
from finetune_app.core.charts.verdict import Whisker, verdict_marks, whiskers

__all__ = [
    "Whisker",
    "bar",
    "count_bar",
    "gain",
    "health_bar",
    "histogram",
    "loss_chart",
    "memory_bar",
    "memory_scale",
    "passes",
    "spark_bars",
    "sparkline",
    "stacked_bars",
    "thin_bar",
    "time_lines",
    "verdict_marks",
    "whiskers",
]
