"""Step 1 of an import: look at the whole file once and say what is in it."""

from collections import Counter
from pathlib import Path
from typing import Any

from finetune_app.datasets.mapping import BadRow, conversation, guess, text_of
from worker.channel import Channel, UserError
from worker.imports.limits import MOST_COLUMNS, MOST_ROWS
from worker.imports.lines import Bad, Row
from worker.imports.opening import rows_of, shape_of

KEPT_ROWS = 20
SHOWN = 1_000  # characters of a cell that the page gets
EVERY = 2_000  # rows between two reports


def look(path: Path, file_name: str, given: dict[str, Any], channel: Channel) -> dict[str, Any]:
    """The shape with columns, first rows and a guessed mapping, for the person to confirm."""
    channel.emit("phase", phase="looking", message="Looking at the file")
    shape = shape_of(path, file_name, given)
    first = _first_rows(path, shape)
    columns = shape.get("columns") or list(dict.fromkeys(c for row in first for c in row.cells))
    if len(columns) > MOST_COLUMNS:
        raise UserError(
            "bad_data",
            f"The rows have {len(columns):,} different names; the most is {MOST_COLUMNS:,}.",
        )
    mapping = guess(columns, [row.cells for row in first])
    counts = _count(path, shape, mapping, channel)
    shape |= {
        "columns": columns,
        "filled": {c: counts["filled"].get(c, 0) for c in columns},
        "rows": [{"line": r.line, "cells": {c: _cut(r.cells.get(c)) for c in columns}}
                 for r in first[:KEPT_ROWS]],
        "row_count": counts["rows"],
        "usable": counts["usable"],
        "unreadable": counts["unreadable"],
    }
    return {"step": "look", "shape": shape, "mapping": mapping}


def _first_rows(path: Path, shape: dict[str, Any]) -> list[Row]:
    rows, reasons = [], []
    for row in rows_of(path, shape):
        if isinstance(row, Row):
            rows.append(row)
        else:
            reasons.append(row)
        if len(rows) == 200 or len(reasons) > 5_000:
            break
    if rows:
        return rows
    if reasons:
        line, reason = reasons[0].line, reasons[0].reason
        raise UserError("bad_data", f"No row of this file can be used. Line {line}: {reason}")
    raise UserError(
        "bad_data", "The file has no rows below its column names. Add some examples and try again."
    )


def _count(
    path: Path, shape: dict[str, Any], mapping: dict[str, str], channel: Channel
) -> dict[str, Any]:
    """One pass over the file: rows, filled cells, rows that would become examples."""
    filled: Counter[str] = Counter()
    rows = usable = unreadable = 0
    complete = mapping["style"] == "messages" or bool(mapping["prompt"] and mapping["answer"])
    for row in rows_of(path, shape):
        rows += 1
        if rows % EVERY == 0:
            channel.check()
            channel.emit("progress", done=rows, total=0, unit="rows")
        if rows > MOST_ROWS:
            raise UserError(
                "bad_data", f"The file has more than {MOST_ROWS:,} rows. Bring it in smaller parts."
            )
        if isinstance(row, Bad):
            unreadable += 1
            continue
        filled.update(name for name, value in row.cells.items() if value not in (None, ""))
        usable += complete and _works(row, mapping)
    return {"rows": rows, "filled": filled, "usable": usable, "unreadable": unreadable}


def _works(row: Row, mapping: dict[str, str]) -> bool:
    try:
        conversation(row.cells, mapping)
    except BadRow:
        return False
    return True


def _cut(value: Any) -> str:
    """A cell for the page: as text, shortened; a conversation stays a conversation."""
    if isinstance(value, list):
        value = [
            {k: v[:SHOWN] if isinstance(v, str) else v for k, v in item.items()}
            if isinstance(item, dict) else item
            for item in value[:20]
        ]
        return text_of(value)
    text = text_of(value)
    if text.lstrip()[:1] == "[":
        return text[: 20 * SHOWN]
    return text if len(text) <= SHOWN else text[:SHOWN] + "…"
