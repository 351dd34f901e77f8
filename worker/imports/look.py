"""Step 1 of an import: look at the whole file once and say what is in it."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from finetune_app.datasets.guessing import guess
from finetune_app.datasets.mapping import KEEP, BadRow, conversation, text_of
from worker.channel import Channel, UserError
from worker.imports.limits import MOST_COLUMNS
from worker.imports.lines import Bad, Row
from worker.imports.opening import rows_of, shape_of
from worker.imports.progress import Meter, Progress

KEPT_ROWS = 20
GUESSED_FROM = 200  # rows
UNREADABLE = 5_000  # rows, after which no good one is expected
SHOWN = 1_000  # characters of a text that the page gets
ROW_SHOWN = 50_000  # and of a row; past that its cells get only
LITTLE = 100
HEAVY = 10_000_000  # characters, as good as GUESSED_FROM rows


def look(path: Path, file_name: str, given: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The shape with columns, first rows and a guessed mapping, for the person to confirm."""
    meter = Meter()
    progress = Progress(channel, meter, "looking", "Looking at the file")
    shape = shape_of(path, file_name, given)
    every = rows_of(path, shape, meter)
    start = _start(every)
    first = [row for row in start if isinstance(row, Row)]
    columns = shape.get("columns") or list(dict.fromkeys(c for row in first for c in row.cells))
    if len(columns) > MOST_COLUMNS:
        raise UserError(
            "bad_data",
            f"The rows have {len(columns):,} different names; the most is {MOST_COLUMNS:,}.",
        )
    mapping = guess(columns, [row.cells for row in first])
    counts = _count(chain(start, every), mapping, progress)
    shape |= {
        "columns": columns,
        "filled": {c: counts["filled"].get(c, 0) for c in columns},
        "rows": [_shown(row, columns) for row in first[:KEPT_ROWS]],
        "row_count": progress.rows,
        "usable": counts["usable"],
        "unreadable": counts["unreadable"],
    }
    return {"step": "look", "shape": shape, "mapping": mapping}


def _start(rows: Iterator[Row | Bad]) -> list[Row | Bad]:
    """The first rows, enough to guess from. Raises UserError when none is good."""
    start: list[Row | Bad] = []
    good = weight = 0
    for row in rows:
        start.append(row)
        if isinstance(row, Row):
            good += 1
            weight += sum(len(c) if isinstance(c, str) else 1_000 for c in row.cells.values())
        if good == GUESSED_FROM or weight > HEAVY or len(start) - good > UNREADABLE:
            break
    if good:
        return start
    bad = next((row for row in start if isinstance(row, Bad)), None)
    if bad:
        raise UserError(
            "bad_data", f"No row of this file can be used. Line {bad.line}: {bad.reason}"
        )
    raise UserError(
        "bad_data", "The file has no rows below its column names. Add some examples and try again."
    )


def _count(
    rows: Iterator[Row | Bad], mapping: dict[str, str], progress: Progress
) -> dict[str, Any]:
    """Filled cells, rows that would become examples, rows that cannot be read."""
    filled: Counter[str] = Counter()
    usable = unreadable = 0
    complete = mapping["style"] == "messages" or bool(
        mapping["prompt"] and (mapping["answer"] or mapping["unanswered"] == KEEP)
    )
    for row in rows:
        progress.row()
        if isinstance(row, Bad):
            unreadable += 1
            continue
        filled.update(name for name, value in row.cells.items() if value not in (None, ""))
        usable += complete and _works(row, mapping)
    progress.end()
    return {"filled": filled, "usable": usable, "unreadable": unreadable}


def _works(row: Row, mapping: dict[str, str]) -> bool:
    try:
        conversation(row.cells, mapping)
    except BadRow:
        return False
    return True


def _shown(row: Row, columns: list[str]) -> dict[str, Any]:
    """A row for the page: cells as text, shortened."""
    cells, weight = {}, 0
    for name in columns:
        text = _cut(row.cells.get(name))
        cells[name] = text if weight + len(text) <= ROW_SHOWN else text[:LITTLE]
        weight += len(cells[name])
    return {"line": row.line, "cells": cells}


def _cut(value: Any) -> str:
    """A cell as text, shortened; what is inside a conversation, so that it stays one."""
    if isinstance(value, list | dict):
        return text_of(_short(value))
    text = text_of(value)
    if text.lstrip()[:1] in ("[", "{"):
        return text[: 20 * SHOWN]
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"


def _short(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name)[:80]: _short(inner) for name, inner in islice(value.items(), 50)}
    if isinstance(value, list):
        return [_short(inner) for inner in value[:20]]
    if isinstance(value, str) and len(value) > SHOWN:
        return value[:SHOWN]
    return value
