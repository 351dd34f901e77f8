"""Step 1 of an import: look at the whole file once and say what is in it."""

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from finetune_app.imports.column_inference import infer_mapping
from finetune_app.imports.column_mapping import (
    KEEP_UNANSWERED,
    RowError,
    cell_text,
    messages_from_row,
)
from worker.channel import Channel, UserError
from worker.imports.file_format import detect_shape, iter_rows
from worker.imports.limits import MAX_COLUMNS
from worker.imports.progress import ByteMeter, RowProgress
from worker.imports.rows import FileRow, RejectedRow

KEPT_ROWS = 20
GUESSED_FROM = 200  # rows
UNREADABLE = 5_000  # rows, after which no good one is expected
SHOWN = 1_000  # characters of a text that the page gets
ROW_SHOWN = 50_000  # and of a row; past that its cells get only
LITTLE = 100
HEAVY = 10_000_000  # characters, as good as GUESSED_FROM rows


def inspect_file(
    path: Path, file_name: str, given: dict[str, Any], channel: Channel
) -> dict[str, Any]:
    """The shape with columns, first rows and a guessed mapping, for the person to confirm."""
    meter = ByteMeter()
    progress = RowProgress(channel, meter, "looking", "Looking at the file")
    shape = detect_shape(path, file_name, given)
    every = iter_rows(path, shape, meter)
    start = _start(every)
    first = [row for row in start if isinstance(row, FileRow)]
    columns = shape.get("columns") or list(dict.fromkeys(c for row in first for c in row.cells))
    if len(columns) > MAX_COLUMNS:
        raise UserError(
            "bad_data",
            f"The rows have {len(columns):,} different names; the most is {MAX_COLUMNS:,}.",
        )
    mapping = infer_mapping(columns, [row.cells for row in first])
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


def _start(rows: Iterator[FileRow | RejectedRow]) -> list[FileRow | RejectedRow]:
    """The first rows, enough to guess from. Raises UserError when none is good."""
    start: list[FileRow | RejectedRow] = []
    good = weight = 0
    for row in rows:
        start.append(row)
        if isinstance(row, FileRow):
            good += 1
            weight += sum(len(c) if isinstance(c, str) else 1_000 for c in row.cells.values())
        if good == GUESSED_FROM or weight > HEAVY or len(start) - good > UNREADABLE:
            break
    if good:
        return start
    bad = next((row for row in start if isinstance(row, RejectedRow)), None)
    if bad:
        raise UserError(
            "bad_data", f"No row of this file can be used. Line {bad.line}: {bad.reason}"
        )
    raise UserError(
        "bad_data", "The file has no rows below its column names. Add some examples and try again."
    )


def _count(
    rows: Iterator[FileRow | RejectedRow], mapping: dict[str, str], progress: RowProgress
) -> dict[str, Any]:
    """Filled cells, rows that would become examples, rows that cannot be read."""
    filled: Counter[str] = Counter()
    usable = unreadable = 0
    complete = mapping["style"] == "messages" or bool(
        mapping["prompt"] and (mapping["answer"] or mapping["unanswered"] == KEEP_UNANSWERED)
    )
    for row in rows:
        progress.row()
        if isinstance(row, RejectedRow):
            unreadable += 1
            continue
        filled.update(name for name, value in row.cells.items() if value not in (None, ""))
        usable += complete and _works(row, mapping)
    progress.end()
    return {"filled": filled, "usable": usable, "unreadable": unreadable}


def _works(row: FileRow, mapping: dict[str, str]) -> bool:
    try:
        messages_from_row(row.cells, mapping)
    except RowError:
        return False
    return True


def _shown(row: FileRow, columns: list[str]) -> dict[str, Any]:
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
        return cell_text(_short(value))
    text = cell_text(value)
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
