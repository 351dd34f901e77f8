"""SVG primitives of the charts."""

from django.utils.html import escape, format_html
from django.utils.safestring import SafeString, mark_safe


def n_(value: float) -> str:
    """A coordinate in its shortest form: 12, 12.5, 0.03."""
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"


def drawing(kind: str, inside: str, label: str = "") -> SafeString:
    aria = format_html('role="img" aria-label="{}"', label) if label else 'aria-hidden="true"'
    return mark_safe(f'<svg class="chart {kind}" {aria}>{inside}</svg>')


def rect(kind: str, x: float, width: float, y: float, height: float, round_: float = 0) -> str:
    """A rectangle: x and width in percent, y and height in pixels."""
    corner = f' rx="{n_(round_)}"' if round_ else ""
    return (
        f'<rect class="{kind}" x="{n_(x)}%" width="{n_(max(width, 0))}%"'
        f' y="{n_(y)}" height="{n_(max(height, 0))}"{corner}/>'
    )


def text(x: float, y: str, words: str, *, kind: str = "", anchor: str = "", more: str = "") -> str:
    attributes = f' class="{kind}"' if kind else ""
    attributes += f' text-anchor="{anchor}"' if anchor else ""
    return f'<text x="{n_(x)}%" y="{y}"{attributes}{more}>{escape(words)}</text>'
