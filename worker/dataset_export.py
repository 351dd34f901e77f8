"""Writes a version to standard output as Excel or Parquet: `worker.dataset_export FORMAT PATH`.

Runs as a child process for one download, so the web process imports none of these libraries and
keeps serving requests while a large file is written.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from finetune_app.core.text_formats import FORMULA_STARTS
from finetune_app.datasets.example_export import table
from finetune_app.datasets.version_rows import Row, Rows, facts_of, rows_in

BATCH = 2_000  # rows
TEXTS = ("prompt", "reasoning_content", "answer", "rejected")  # wide columns


def xlsx(rows: Rows, output: BinaryIO) -> None:
    """A sheet of text cells.

    Cells that Excel would run as a formula get its quote prefix (the style that a leading '
    sets), so that their text stays unchanged. Raises ValueError where Excel would cut a cell.
    """
    import xlsxwriter

    with tempfile.TemporaryDirectory() as folder:
        book = xlsxwriter.Workbook(output, {"constant_memory": True, "tmpdir": folder})
        sheet = book.add_worksheet("Examples")
        bold, guarded = book.add_format({"bold": True}), book.add_format({"quote_prefix": True})
        wide = book.add_format({"text_wrap": True, "valign": "top"})
        sheet.freeze_panes(1, 0)
        for at, cells in enumerate(table(rows, facts_of(rows), "all")):
            for place, cell in enumerate(cells):
                if at == 0:
                    sheet.set_column(place, place, 60 if cell in TEXTS else 12, wide)
                style = bold if at == 0 else guarded if cell.startswith(FORMULA_STARTS) else None
                if sheet.write_string(at, place, cell, style):
                    raise ValueError("Excel would cut a cell, or has no place for it")
        book.close()


def parquet(rows: Rows, output: BinaryIO) -> None:
    """Columns id, split, source, messages (a list of role and content, and weight and thought if
    they occur), and rejected and group if some row has one.

    Where rows have tools, messages have their calls, and the tools are JSON in a column.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    facts = facts_of(rows)
    fields = [("role", pa.string()), ("content", pa.string())]
    fields += [("weight", pa.int8())] if facts.unlearned else []
    fields += [("reasoning_content", pa.string())] if facts.thoughts else []
    if facts.tools:
        function = pa.struct([("name", pa.string()), ("arguments", pa.string())])
        call = pa.struct([("id", pa.string()), ("type", pa.string()), ("function", function)])
        fields += [("tool_calls", pa.list_(call))]
        fields += [("tool_call_id", pa.string()), ("name", pa.string())]
    columns = [
        ("id", pa.int64()),
        ("split", pa.string()),
        ("source", pa.string()),
        ("messages", pa.list_(pa.struct(fields))),
    ]
    if facts.tools:
        columns += [("tools", pa.string()), ("parallel_tool_calls", pa.bool_())]
    columns += [("rejected", pa.string())] if facts.pairs else []
    columns += [("group", pa.string())] if facts.groups else []
    schema = pa.schema(columns)
    with pq.ParquetWriter(output, schema, compression="zstd") as writer:
        for some in _batches(rows()):
            lines = [
                row | {"tools": json.dumps(row["tools"])} if "tools" in row else row for row in some
            ]
            writer.write_table(pa.Table.from_pylist(lines, schema=schema))


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while some := list(islice(rows, BATCH)):
        yield some


def main() -> None:
    form, path = sys.argv[1:3]
    {"xlsx": xlsx, "parquet": parquet}[form](rows_in(Path(path)), sys.stdout.buffer)
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
