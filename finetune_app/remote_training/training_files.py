"""What is sent to a platform: the training and validation rows of a version, no test rows."""

import json
from collections.abc import Iterator
from pathlib import Path

from django.utils.translation import gettext as _

from finetune_app.basemodels.automatic_settings import DPO
from finetune_app.core.chat_messages import without_thoughts
from finetune_app.core.errors import PlainError
from finetune_app.datasets.models import Split
from finetune_app.datasets.version_rows import Row, Rows, facts_of, rows_in
from finetune_app.remote_training import row_formats
from finetune_app.versions.models import Version
from finetune_app.versions.reader import write_without_test_rows

SENT = (Split.TRAIN, Split.VALIDATION)


def require_enough(version: Version, method: str, least: int) -> None:
    """Raises PlainError where a platform would refuse the rows."""
    rows = version.pairs if method == DPO else version.counts.get("train", 0)
    if rows < least:
        raise PlainError(
            _(
                "A platform wants at least %(least)d examples to learn from; version %(v)d has "
                "%(n)d."
            )
            % {"least": least, "v": version.number, "n": rows},
            title=_("Too few examples"),
        )


def write_training_files(
    version: Version, method: str, row_format: str, folder: Path
) -> dict[str, Path]:
    """A JSONL file for each split that is sent and has rows. row_format: of row_formats.py.

    Raises PlainError where the rows cannot be written in it.
    """
    as_line = row_formats.FORMATS[row_format]
    source = folder / "rows.jsonl"
    write_without_test_rows(version, source)
    written = {}
    for split in SENT:
        rows = _rows_to_send(rows_in(source), split, method)
        facts = facts_of(rows)
        if not facts.rows:
            continue
        row_formats.require_possible(row_format, rows, facts)
        path = folder / f"{split}.jsonl"
        with path.open("w", encoding="utf-8") as file:
            for row in rows():
                line = as_line(row, facts)
                file.write(json.dumps(line, ensure_ascii=False) + "\n")
        written[str(split)] = path
    return written


def _rows_to_send(every: Rows, split: str, method: str) -> Rows:
    """Without thoughts, and with worse answers only where they are learned from."""

    def rows() -> Iterator[Row]:
        for row in every():
            if row["split"] != split or (method == DPO and "rejected" not in row):
                continue
            if method != DPO:
                row.pop("rejected", None)
            row["messages"] = without_thoughts(row["messages"])
            yield row

    return rows
