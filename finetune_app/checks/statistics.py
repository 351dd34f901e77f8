"""The statistics of a check, for the charts of the health page. They are stored as JSON."""

from collections import Counter
from typing import Any

from finetune_app.checks.rules.base import CheckContext, CheckRow
from finetune_app.checks.rules.labels import balance

BARS = 12


def count(rows: list[CheckRow], context: CheckContext) -> dict[str, Any]:
    """{"languages": [[code, rows], ...], "unknown_language": n, "labels": [[label, rows], ...],
    "field": the labels' name, "lengths": {"unit", "step", "bars", "longest", "most"}}"""
    languages = Counter(seen.language for seen in context.scans.values())
    unknown = languages.pop("", 0)
    facts: dict[str, Any] = {
        "rows": len(rows),
        "languages": [list(one) for one in languages.most_common(8)],
        "unknown_language": unknown,
        "lengths": _lengths(rows, context),
    }
    labels = balance(rows, context)
    if labels:
        name, counts, _of = labels
        facts |= {"field": name, "labels": [list(one) for one in counts.most_common()]}
    return facts


def _lengths(rows: list[CheckRow], context: CheckContext) -> dict[str, Any]:
    """The length histogram, in tokens if all rows were counted, else in characters."""
    tokens = [seen.tokens for seen in context.scans.values() if seen.tokens is not None]
    if context.token_limit and tokens and len(tokens) == len(rows):
        return {"unit": "tokens", "most": context.token_limit.max_tokens, **_histogram(tokens)}
    sizes = [sum(len(str(one.get("content", ""))) for one in row.messages) for row in rows]
    return {"unit": "characters", "most": 0, **_histogram(sizes)}


def _histogram(sizes: list[int]) -> dict[str, Any]:
    """Bars of equal width up to the 99th percentile; the last one also counts longer rows."""
    if not sizes:
        return {"step": 1, "bars": [], "longest": 0, "middle": 0}
    ordered = sorted(sizes)
    most = ordered[min(len(ordered) - 1, int(len(ordered) * 0.99))]
    step = _round_up(max(1, -(-most // BARS)))
    counts = Counter(min((size - 1) // step if size else 0, BARS - 1) for size in sizes)
    bars = [counts.get(place, 0) for place in range(BARS)]
    middle = ordered[len(ordered) // 2]
    return {"step": step, "bars": bars, "longest": ordered[-1], "middle": middle}


def _round_up(step: int) -> int:
    """Round up to 1, 2 or 5 times a power of ten."""
    power: int = 10 ** (len(str(step)) - 1)
    return next(nice * power for nice in (1, 2, 5, 10) if nice * power >= step)
