"""The statistics of a check, for the charts of the health page. They are stored as JSON."""

from collections import Counter
from typing import NotRequired, TypedDict

from finetune_app.checks.row_texts import row_texts
from finetune_app.checks.rules.base import CheckContext, CheckRow
from finetune_app.checks.rules.labels import balance

BARS = 12


class Histogram(TypedDict):
    step: int  # width of a bar
    bars: list[int]
    longest: int
    middle: int  # median


class LengthHistogram(Histogram):
    unit: str  # tokens, characters
    most: int  # the token limit of training; 0 without one


class CheckStatistics(TypedDict):
    rows: int
    languages: list[tuple[str, int]]  # (code, rows)
    unknown_language: int
    lengths: LengthHistogram
    labels: NotRequired[list[tuple[str, int]]]  # (label, rows)
    field: NotRequired[str]  # the field whose values are the labels; "" for whole answers


def count(rows: list[CheckRow], context: CheckContext) -> CheckStatistics:
    languages = Counter(seen.language for seen in context.scans.values())
    unknown = languages.pop("", 0)
    facts: CheckStatistics = {
        "rows": len(rows),
        "languages": languages.most_common(8),
        "unknown_language": unknown,
        "lengths": _lengths(rows, context),
    }
    labels = balance(rows, context)
    if labels:
        name, counts, _of = labels
        facts |= {"field": name, "labels": counts.most_common()}
    return facts


def _lengths(rows: list[CheckRow], context: CheckContext) -> LengthHistogram:
    """The length histogram, in tokens if all rows were counted, else in characters."""
    tokens = [seen.tokens for seen in context.scans.values() if seen.tokens is not None]
    if context.token_limit and tokens and len(tokens) == len(rows):
        return {"unit": "tokens", "most": context.token_limit.max_tokens, **_histogram(tokens)}
    sizes = [sum(map(len, row_texts(row.messages))) for row in rows]
    return {"unit": "characters", "most": 0, **_histogram(sizes)}


def _histogram(sizes: list[int]) -> Histogram:
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
