"""In the sandbox: reads Parquet files, a batch of rows at a time.

The metadata of the file is not trusted: it can only cause the file to be rejected.
"""

import datetime
import decimal
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from worker.imports.child_output import UnreadableFile, batches
from worker.imports.limits import (
    ALWAYS_ALLOWED_BYTES,
    MAX_COLUMNS,
    MAX_UNPACK_RATIO,
    MAX_UNPACKED_BYTES,
)

BATCH_ROWS = 200
BROKEN = "The Parquet file is cut off or damaged. Upload it again, or write it anew."
EXTENSION = b"ARROW:extension:name"


def schema(path: str, _sheet: str) -> Iterator[Any]:
    """The names of the columns."""
    with _open(path) as file:
        yield file.schema_arrow.names


def parquet(path: str, _sheet: str) -> Iterator[Any]:
    """Batches of [line, cells], and the progress in rows. Only one batch is in memory, and of a row
    group only what the batch needs."""
    with _open(path) as file:
        total, done = file.metadata.num_rows, 0
        try:
            for batch in file.iter_batches(BATCH_ROWS, use_threads=False):
                columns = [_values(column) for column in batch.columns]
                rows = zip(*columns, strict=True)
                yield from batches([done + at, list(cells)] for at, cells in enumerate(rows, 1))
                done += batch.num_rows
                yield {"done": done, "total": max(total, done)}
        except pa.ArrowMemoryError as error:
            raise MemoryError from error
        except (pa.ArrowException, OSError, ValueError) as error:
            raise UnreadableFile(BROKEN) from error


def _open(path: str) -> pq.ParquetFile:
    try:
        file = pq.ParquetFile(
            path,
            buffer_size=1 << 20,
            pre_buffer=False,
            thrift_string_size_limit=20_000_000,
            thrift_container_size_limit=2_000_000,
        )
        fields = list(file.schema_arrow)
    except pa.ArrowMemoryError as error:
        raise MemoryError from error
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise UnreadableFile(BROKEN) from error
    if len(fields) > MAX_COLUMNS:
        raise UnreadableFile(f"The file has {len(fields):,} columns; the most is {MAX_COLUMNS:,}.")
    for field in fields:
        _refuse_extension(field)
    _refuse_bomb(file.metadata)
    return file


def _refuse_extension(field: pa.Field) -> None:
    """Refuse extension types, which may run code when they are read."""
    if isinstance(field.type, pa.BaseExtensionType) or EXTENSION in (field.metadata or {}):
        raise UnreadableFile(
            f"The column “{field.name[:80]}” is of a custom type, which we do not open. "
            "Save it as text or numbers."
        )
    for at in range(field.type.num_fields):
        _refuse_extension(field.type.field(at))


def _refuse_bomb(metadata: pq.FileMetaData) -> None:
    groups = [metadata.row_group(at) for at in range(metadata.num_row_groups)]
    chunks = [group.column(at) for group in groups for at in range(group.num_columns)]
    unpacked = sum(chunk.total_uncompressed_size for chunk in chunks)
    packed = sum(chunk.total_compressed_size for chunk in chunks)
    if unpacked > MAX_UNPACKED_BYTES:
        most = MAX_UNPACKED_BYTES // 10**9
        raise UnreadableFile(
            f"The file is larger than {most} GB when unpacked, the most we read. "
            "Split it into smaller files."
        )
    if unpacked > ALWAYS_ALLOWED_BYTES and unpacked > MAX_UNPACK_RATIO * max(packed, 1):
        raise UnreadableFile(
            f"The file grows to more than {MAX_UNPACK_RATIO} times its size when unpacked, as only "
            "files do that are made to fill a disk. Save it as CSV or JSON lines."
        )


def _values(column: pa.Array) -> list[Any]:
    try:
        return [_json_value(value) for value in column.to_pylist()]
    except UnicodeDecodeError:  # not UTF-8: rows with broken characters are rejected later
        values = column.cast(pa.large_binary()).to_pylist()
        return [None if v is None else v.decode("utf-8", "surrogateescape") for v in values]


def _json_value(value: Any) -> Any:
    """A JSON value. Text and the digits of numbers stay as they are."""
    if isinstance(value, dict):
        return {str(name): _json_value(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(inner) for inner in value]
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return f"({len(value):,} bytes that are not text)"
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta | decimal.Decimal):
        return str(value)
    return value
