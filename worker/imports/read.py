"""Step 2 of an import: every row becomes a conversation in a file, or a reason."""

import json
from pathlib import Path
from typing import Any

from finetune_app.datasets.mapping import BadRow, conversation, given_split
from worker.channel import Channel, UserError
from worker.imports.decoding import shown
from worker.imports.limits import MOST_ROWS
from worker.imports.lines import Bad, Row
from worker.imports.opening import rows_of

ON_PAGE = 200  # rejected rows that the result carries; the file has them all
EVERY = 2_000


def read(
    path: Path, folder: Path, shape: dict[str, Any], mapping: dict[str, str], channel: Channel
) -> dict[str, Any]:
    """Write rows.jsonl ({"line", "split", "messages"}) and rejected.jsonl into `folder`."""
    channel.emit("phase", phase="reading", message="Reading the rows")
    rows = kept = 0
    rejected: list[dict[str, Any]] = []
    rejected_count = 0
    with (folder / "rows.jsonl").open("w", encoding="utf-8") as good, (
        folder / "rejected.jsonl"
    ).open("w", encoding="utf-8") as bad:
        for row in rows_of(path, shape):
            rows += 1
            if rows > MOST_ROWS:
                raise UserError("bad_data", f"The file has more than {MOST_ROWS:,} rows.")
            if rows % EVERY == 0:
                channel.check()
                channel.emit(
                    "progress", done=rows, total=shape.get("row_count", 0), unit="rows"
                )
            taken = _taken(row, mapping)
            if isinstance(taken, Bad):
                entry = {"line": row.line, "reason": shown(taken.reason), "text": shown(taken.text)}
                bad.write(json.dumps(entry, ensure_ascii=False) + "\n")
                rejected_count += 1
                if len(rejected) < ON_PAGE:
                    rejected.append(entry)
            else:
                kept += 1
                good.write(json.dumps(taken, ensure_ascii=False) + "\n")
    channel.emit("progress", done=rows, total=rows, unit="rows")
    return {"step": "read", "rows": rows, "kept": kept, "rejected": rejected,
            "rejected_count": rejected_count}


def _taken(row: Row | Bad, mapping: dict[str, str]) -> dict[str, Any] | Bad:
    """What becomes of a row: an example on its way in, or why not."""
    if isinstance(row, Bad):
        return row
    try:
        messages = conversation(row.cells, mapping)
    except BadRow as error:
        return Bad(row.line, str(error), _short(row.cells))
    return {"line": row.line, "split": given_split(row.cells, mapping), "messages": messages}


def _short(cells: dict[str, Any]) -> str:
    return " | ".join(str(value)[:200] for value in cells.values() if value)[:500]
