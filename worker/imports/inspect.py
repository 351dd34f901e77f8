"""Inspects a whole file once: its shape, the inferred mapping, and sample rows."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from finetune_app.core.storable_text import storable
from finetune_app.core.thinking import split_thought, with_thought
from finetune_app.imports.cell_values import RowError, cell_text
from finetune_app.imports.column_inference import infer_mapping
from finetune_app.imports.column_mapping import (
    KEEP_UNANSWERED,
    TAKE_WITHOUT,
    UnreadKeyError,
    content_from_row,
)
from finetune_app.imports.schemas import (
    ColumnMapping,
    FileShape,
    InspectResult,
    ReadOptions,
    RejectedEntry,
    SampleRow,
)
from finetune_app.imports.unread_keys import KeyCounter
from worker.channel import Channel, UserError
from worker.imports.file_format import detect_shape, iter_rows
from worker.imports.limits import MAX_COLUMNS
from worker.imports.progress import ByteMeter, RowProgress
from worker.imports.rows import AnyRow, FileRow, RejectedRow, entry_of

SAMPLE_ROWS = 20  # for the page
# The mapping is inferred from as many rows, or from about as much text.
INFERENCE_ROWS = 200
INFERENCE_CHARACTERS = 10_000_000
MAX_UNREADABLE_ROWS = 5_000  # before the first good one
MAX_UNREADABLE_SHOWN = 5
CELL_CHARACTERS = 1_000  # of a text in a sample row
ROW_CHARACTERS = 50_000  # of a sample row
SHORT_CELL_CHARACTERS = 100  # of each cell after that


def inspect_file(
    path: Path, file_name: str, options: ReadOptions, channel: Channel
) -> InspectResult:
    """The shape with sample rows, and the inferred mapping, for a person to confirm.

    Raises UserError for a file without a row that can be read.
    """
    meter = ByteMeter()
    progress = RowProgress(channel, meter, "looking", "Looking at the file")
    shape = detect_shape(path, file_name, options)
    rows = iter_rows(path, shape, meter)
    start = _first_rows(rows)
    first = [row for row in start if isinstance(row, FileRow)]
    columns = shape.get("columns") or list(dict.fromkeys(c for row in first for c in row.cells))
    _require_few(columns)
    mapping = infer_mapping(columns, [row.cells for row in first])
    counts = _count(chain(start, rows), mapping, progress)
    filled = {key["column"]: key["rows"] for key in counts.keys.counts() if not key["key"]}
    columns = list(dict.fromkeys([*columns, *filled]))  # rows of JSON may bring more of them later
    _require_few(columns)
    inspected: FileShape = {
        **shape,
        "columns": columns,
        "filled": dict.fromkeys(columns, 0) | filled,
        "keys": counts.keys.counts(),
        "rows": [_sample(row, columns) for row in first[:SAMPLE_ROWS]],
        "row_count": progress.rows,
        "usable": counts.usable,
        "undecided": counts.undecided,
        "unreadable": counts.unreadable,
        "first_unreadable": counts.first_unreadable,
    }
    return {"step": "inspect", "shape": inspected, "mapping": mapping}


def _require_few(columns: list[str]) -> None:
    """Raises UserError."""
    if len(columns) > MAX_COLUMNS:
        raise UserError(
            "bad_data",
            f"The rows have {len(columns):,} different names; the most is {MAX_COLUMNS:,}.",
        )


def _first_rows(rows: Iterator[AnyRow]) -> list[AnyRow]:
    """Enough rows to infer a mapping. Raises UserError when none is good."""
    start: list[AnyRow] = []
    good = characters = 0
    for row in rows:
        start.append(row)
        if isinstance(row, FileRow):
            good += 1
            characters += sum(len(c) if isinstance(c, str) else 1_000 for c in row.cells.values())
        enough = good == INFERENCE_ROWS or characters > INFERENCE_CHARACTERS
        if enough or len(start) - good > MAX_UNREADABLE_ROWS:
            break
    if good:
        return start
    rejected = next((row for row in start if isinstance(row, RejectedRow)), None)
    if rejected:
        raise UserError(
            "bad_data",
            f"No row of this file can be used. Line {rejected.line}: {storable(rejected.reason)}",
        )
    raise UserError(
        "bad_data", "The file has no rows below its column names. Add some examples and try again."
    )


@dataclass
class _Counts:
    keys: KeyCounter = field(default_factory=KeyCounter)
    usable: int = 0
    undecided: int = 0
    unreadable: int = 0
    first_unreadable: list[RejectedEntry] = field(default_factory=list)


def _count(rows: Iterator[AnyRow], mapping: ColumnMapping, progress: RowProgress) -> _Counts:
    counts = _Counts()
    complete = mapping["style"] == "messages" or bool(
        mapping["prompt"] and (mapping["answer"] or mapping["unanswered"] == KEEP_UNANSWERED)
    )
    for row in rows:
        progress.count_row()
        if isinstance(row, RejectedRow):
            counts.unreadable += 1
            if counts.unreadable <= MAX_UNREADABLE_SHOWN:
                counts.first_unreadable.append(entry_of(row))
            continue
        counts.keys.add(row.line, row.cells)
        if complete:
            _count_usable(counts, row, mapping)
    progress.end()
    return counts


def _count_usable(counts: _Counts, row: FileRow, mapping: ColumnMapping) -> None:
    try:
        content_from_row(row.cells, mapping)
    except UnreadKeyError:
        taken = _is_usable(row, mapping | {"unread": TAKE_WITHOUT})
        counts.usable += taken
        counts.undecided += taken
    except RowError:
        return
    else:
        counts.usable += 1


def _is_usable(row: FileRow, mapping: ColumnMapping) -> bool:
    try:
        content_from_row(row.cells, mapping)
    except RowError:
        return False
    return True


# ---- Sample rows ----


def _sample(row: FileRow, columns: list[str]) -> SampleRow:
    cells: dict[str, str] = {}
    characters = 0
    for name in columns:
        text = _shortened_text(row.cells.get(name))
        fits = characters + len(text) <= ROW_CHARACTERS
        cells[name] = text if fits else text[:SHORT_CELL_CHARACTERS]
        characters += len(cells[name])
    return {"line": row.line, "cells": cells}


def _shortened_text(value: Any) -> str:
    """A cell as short text. Conversations stay valid: their messages are shortened instead."""
    if isinstance(value, list | dict):
        return cell_text(_shortened(value))
    text = cell_text(value)
    if text.lstrip()[:1] in ("[", "{"):
        return text[: 20 * CELL_CHARACTERS]
    return _cut(text, "…")


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(name)[:80]: _shortened(inner) for name, inner in islice(value.items(), 50)}
    if isinstance(value, list):
        return [_shortened(inner) for inner in value[:20]]
    return _cut(value) if isinstance(value, str) else value


def _cut(text: str, end: str = "") -> str:
    """The start of a long text; of a thought and of its answer, so that both are seen."""
    if len(text) <= CELL_CHARACTERS:
        return text
    thought, answer = split_thought(text)
    start = answer if len(answer) <= CELL_CHARACTERS else answer[:CELL_CHARACTERS] + end
    return with_thought(start, thought[:CELL_CHARACTERS] + end) if thought else start
