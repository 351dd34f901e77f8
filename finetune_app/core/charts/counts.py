"""Charts of counts: histograms and count bars."""

from collections.abc import Sequence

from django.utils.safestring import SafeString, mark_safe

from finetune_app.core.charts.svg import drawing, n_, rect, text

HEIGHT = 96  # of the highest bar, in pixels


def histogram(
    counts: Sequence[int], step: int, label: str, *, unit: str = "", limit: int = 0
) -> SafeString:
    """Bars for bins of width `step`; the last also counts larger values. A dashed line marks
    `limit` if it is within the range."""
    top = max(counts, default=0) or 1
    wide = 100 / max(len(counts), 1)
    inside = []
    for place, count in enumerate(counts):
        if count:
            high = max(HEIGHT * count / top, 2)
            inside.append(rect("f-accent", place * wide, wide * 0.86, 16 + HEIGHT - high, high, 1))
            if count == top:
                middle = (place + 0.43) * wide
                inside.append(text(middle, n_(10), f"{count:,}", kind="strong", anchor="middle"))
    floor = n_(16 + HEIGHT + 0.5)
    inside.append(f'<line class="grid" x1="0" x2="100%" y1="{floor}" y2="{floor}"/>')
    below = n_(16 + HEIGHT + 18)
    inside.append(text(0, below, "0"))
    inside.append(text(50, below, f"{step * len(counts) // 2:,}", anchor="middle"))
    end = f"{step * len(counts):,} {unit}".strip()
    inside.append(text(100, below, end, anchor="end"))
    if 0 < limit < step * len(counts):
        at = n_(100 * limit / (step * len(counts)))
        inside.append(f'<line class="tick" x1="{at}%" x2="{at}%" y1="12" y2="{floor}"/>')
    return drawing("histogram", "".join(inside), label)


def count_bar(count: int, most: int, *, kind: str = "accent") -> SafeString:
    """One horizontal bar relative to the longest; the page shows the number as text."""
    share = 100 * count / most if most else 0
    return mark_safe(
        '<svg class="chart count-bar" aria-hidden="true">'
        + rect("f-track", 0, 100, 4, 8, 1)
        + (rect(f"f-{kind}", 0, max(share, 0.7), 4, 8, 1) if count else "")
        + "</svg>"
    )
