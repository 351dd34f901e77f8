"""Reads a file by its confirmed mapping: every row becomes a conversation or is rejected."""

import json
from pathlib import Path
from typing import Any

import orjson

from finetune_app.imports.cell_values import RowError
from finetune_app.imports.column_mapping import (
    content_from_row,
    key_and_group_of_row,
    split_of_row,
)
from finetune_app.imports.schemas import (
    ColumnMapping,
    FileShape,
    ImportRow,
    ReadResult,
    RejectedEntry,
)
from finetune_app.imports.training_pairs import loses_thought
from worker.channel import Channel
from worker.imports.file_format import iter_rows
from worker.imports.limits import MAX_UNPACKED_BYTES, OutputLimit
from worker.imports.progress import ByteMeter, RowProgress
from worker.imports.rows import MAX_EXCERPT_CHARACTERS, AnyRow, FileRow, RejectedRow, entry_of

MAX_REJECTED_IN_RESULT = 200
MAX_EXCERPT_CELL_CHARACTERS = 200


def read_rows(
    path: Path,
    folder: Path,
    shape: FileShape,
    mapping: ColumnMapping,
    channel: Channel,
    bytes_left: int = MAX_UNPACKED_BYTES,
) -> ReadResult:
    """Write rows.jsonl (`ImportRow`) and rejected.jsonl (`RejectedEntry`) into `folder`.

    A row without an answer, where the mapping keeps such rows, ends in an empty message of the
    assistant. Raises UserError when the rows are far larger than the file, or larger than
    `bytes_left`.
    """
    meter = ByteMeter()
    limit = OutputLimit(path.stat().st_size, bytes_left)
    progress = RowProgress(channel, meter, "reading", "Reading the rows")
    kept = rejected_count = thoughts = worse_thoughts = 0
    rejected: list[RejectedEntry] = []
    splits: set[str] = set()
    with (
        (folder / "rows.jsonl").open("wb") as rows_file,
        (folder / "rejected.jsonl").open("w", encoding="utf-8") as rejected_file,
    ):
        for row in iter_rows(path, shape, meter):
            progress.count_row()
            read = _read_row(row, mapping)
            if isinstance(read, RejectedRow):
                entry = entry_of(read)
                line = json.dumps(entry, ensure_ascii=False) + "\n"
                limit.count(len(line))
                rejected_file.write(line)
                rejected_count += 1
                if len(rejected) < MAX_REJECTED_IN_RESULT:
                    rejected.append(entry)
            else:
                kept += 1
                splits.add(read["split"])
                thoughts += any("reasoning_content" in one for one in read["messages"])
                worse_thoughts += bool(read.get("rejected")) and _loses_thought(row, mapping)
                encoded = orjson.dumps(read, option=orjson.OPT_APPEND_NEWLINE)
                limit.count(len(encoded))
                rows_file.write(encoded)
    progress.end()
    return {
        "step": "read",
        "rows": progress.rows,
        "kept": kept,
        "rejected": rejected,
        "rejected_count": rejected_count,
        "thoughts": thoughts,
        "worse_thoughts": worse_thoughts,
        "splits": sorted(splits - {""}),
    }


def _read_row(row: AnyRow, mapping: ColumnMapping) -> ImportRow | RejectedRow:
    if isinstance(row, RejectedRow):
        return row
    try:
        content = content_from_row(row.cells, mapping)
        key_and_group = key_and_group_of_row(row.cells, mapping)
    except RowError as error:
        return RejectedRow(row.line, str(error), _excerpt(row.cells))
    split = split_of_row(row.cells, mapping)
    return {"line": row.line, "split": split, **content, **key_and_group}


def _loses_thought(row: AnyRow, mapping: ColumnMapping) -> bool:
    return isinstance(row, FileRow) and loses_thought(row.cells[mapping["rejected"]])


def _excerpt(cells: dict[str, Any]) -> str:
    texts = (str(value)[:MAX_EXCERPT_CELL_CHARACTERS] for value in cells.values() if value)
    return " | ".join(texts)[:MAX_EXCERPT_CHARACTERS]
