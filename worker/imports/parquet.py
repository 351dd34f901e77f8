"""Reads Parquet files: the columns, and the rows as JSON values."""

from collections.abc import Iterator
from pathlib import Path

from finetune_app.imports.schemas import FileShape
from worker.imports import sandbox
from worker.imports.header import column_names
from worker.imports.json_rows import json_row
from worker.imports.progress import ByteMeter
from worker.imports.rows import AnyRow


def parquet_shape(path: Path) -> FileShape:
    """Raises UserError for a file that is hostile or damaged."""
    return {
        "kind": "parquet",
        "format": "parquet",
        "encoding": "",
        "encoding_why": "",
        "columns": column_names(sandbox.read_names("schema", path)),
    }


def parquet_rows(path: Path, shape: FileShape, meter: ByteMeter) -> Iterator[AnyRow]:
    """Every row, numbered from 1."""
    for line, cells in sandbox.read_table("parquet", path, meter):
        yield json_row(line, dict(zip(shape["columns"], cells, strict=True)), "")
