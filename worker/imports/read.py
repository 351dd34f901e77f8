"""Step 2 of an import: every row becomes a conversation in a file, or a reason."""

import json
from pathlib import Path
from typing import Any

import orjson

from finetune_app.imports.column_mapping import (
    RowError,
    messages_from_row,
    names_of_row,
    split_of_row,
)
from worker.channel import Channel
from worker.imports.file_format import iter_rows
from worker.imports.progress import ByteMeter, RowProgress
from worker.imports.rows import FileRow, RejectedRow
from worker.imports.text_encoding import printable

ON_PAGE = 200  # rejected rows that the result carries; the file has them all


def read_rows(
    path: Path, folder: Path, shape: dict[str, Any], mapping: dict[str, str], channel: Channel
) -> dict[str, Any]:
    """Write rows.jsonl and rejected.jsonl into `folder`.

    rows.jsonl: {"line", "split", "messages"}, and "key" and "group" where the mapping names a
    column for them. Without an answer the last message is an empty one of the assistant.
    rejected.jsonl: {"line", "reason", "text"} of every row that was left out.
    """
    meter = ByteMeter()
    progress = RowProgress(channel, meter, "reading", "Reading the rows")
    kept = rejected_count = 0
    rejected: list[dict[str, Any]] = []
    with (
        (folder / "rows.jsonl").open("wb") as good,
        (folder / "rejected.jsonl").open("w", encoding="utf-8") as bad,
    ):
        for row in iter_rows(path, shape, meter):
            progress.row()
            taken = _taken(row, mapping)
            if isinstance(taken, RejectedRow):
                entry = {
                    "line": row.line,
                    "reason": printable(taken.reason),
                    "text": printable(taken.text),
                }
                bad.write(json.dumps(entry, ensure_ascii=False) + "\n")
                rejected_count += 1
                if len(rejected) < ON_PAGE:
                    rejected.append(entry)
            else:
                kept += 1
                good.write(orjson.dumps(taken, option=orjson.OPT_APPEND_NEWLINE))
    progress.end()
    return {
        "step": "read",
        "rows": progress.rows,
        "kept": kept,
        "rejected": rejected,
        "rejected_count": rejected_count,
    }


def _taken(row: FileRow | RejectedRow, mapping: dict[str, str]) -> dict[str, Any] | RejectedRow:
    """What becomes of a row: an example on its way in, or why not."""
    if isinstance(row, RejectedRow):
        return row
    try:
        messages = messages_from_row(row.cells, mapping)
        names = names_of_row(row.cells, mapping)
    except RowError as error:
        return RejectedRow(row.line, str(error), _short(row.cells))
    split = split_of_row(row.cells, mapping)
    return {"line": row.line, "split": split, "messages": messages, **names}


def _short(cells: dict[str, Any]) -> str:
    return " | ".join(str(value)[:200] for value in cells.values() if value)[:500]
