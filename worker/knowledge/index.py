"""Write an index: a folder of its own, written once and whole, then only read.

    index.json     {"format", "embedder", "passages", "characters", "documents"}, written last
    passages.lance the table: passages with their vectors and full text

Nothing is ever deleted from one, because LanceDB leaves deleted text on the disk
(docs/decisions/0010). Without a document there is a new index without it.
"""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, IvfFlat

from worker.knowledge.chunking import Chunk
from worker.knowledge.document_cache import Embedded

FORMAT = 1
TABLE = "passages"
MIN_ROWS_FOR_VECTOR_INDEX = 20_000  # below it, comparing with every vector is fast enough
INDEX_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class IndexedDocument:
    """One document as an index holds it."""

    document: int
    name: str
    text: str
    embedded: Embedded


def embedder_input(chunk: Chunk, text: str) -> str:
    """The passage below its headings, so that it is found by them too."""
    return f"{chunk.title}\n{text[chunk.at : chunk.end]}"


def write(
    folder: Path, documents: Iterable[IndexedDocument], *, embedder: str, size: int
) -> dict[str, Any]:
    """Write an index of the documents into `folder`, replacing what an interrupted attempt left.

    `size` is the length of a vector. Returns the content of index.json.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()  # not its parents: they are gone when the documents are
    about: dict[str, Any] = {
        "format": FORMAT,
        "embedder": embedder,
        "passages": 0,
        "characters": 0,
        "documents": [],
    }
    schema = _schema(size)
    table = lancedb.connect(folder).create_table(
        TABLE,
        pa.RecordBatchReader.from_batches(schema, _batches(documents, schema, about)),
        schema=schema,
    )
    if about["passages"]:
        table.create_index("words", config=FTS(), wait_timeout=INDEX_TIMEOUT)
    if about["passages"] >= MIN_ROWS_FOR_VECTOR_INDEX:
        cells = math.isqrt(about["passages"])
        config = IvfFlat(distance_type="cosine", num_partitions=cells)
        table.create_index("vector", config=config, wait_timeout=INDEX_TIMEOUT)
    _finish(folder, about)
    return about


def _schema(size: int) -> pa.Schema:
    return pa.schema(
        [
            ("id", pa.int64()),
            ("document", pa.int64()),
            ("name", pa.string()),
            ("title", pa.string()),
            ("page", pa.int32()),
            ("at", pa.int64()),
            ("own", pa.int64()),
            ("text", pa.string()),
            ("words", pa.string()),
            ("lines", pa.binary()),
            ("vector", pa.list_(pa.float32(), size)),
        ]
    )


def _batches(
    documents: Iterable[IndexedDocument], schema: pa.Schema, about: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    """One batch per document; counts them in `about`."""
    for document in documents:
        about["documents"].append(document.document)
        about["characters"] += len(document.text)
        chunks, embedded = document.embedded.chunks, document.embedded
        count = len(chunks)
        if not count:
            continue
        first = about["passages"]
        about["passages"] += count
        columns = {
            "id": range(first, first + count),
            "document": [document.document] * count,
            "name": [document.name] * count,
            "title": [chunk.title for chunk in chunks],
            "page": [chunk.page for chunk in chunks],
            "at": [chunk.at for chunk in chunks],
            "own": [chunk.own for chunk in chunks],
            "text": [document.text[chunk.at : chunk.end] for chunk in chunks],
            "words": [embedder_input(chunk, document.text) for chunk in chunks],
            "lines": _lines(embedded),
        }
        flat = pa.array(embedded.vectors.astype(np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, embedded.vectors.shape[1])
        arrays = [pa.array(columns[f.name], f.type) for f in schema if f.name in columns]
        yield pa.RecordBatch.from_arrays([*arrays, vectors], schema=schema)


def _lines(embedded: Embedded) -> list[bytes]:
    """The vectors of the sentences of each passage, as bytes."""
    ends = np.cumsum(embedded.counts)
    return [rows.tobytes() for rows in np.split(embedded.lines, ends[:-1])]


def _finish(folder: Path, about: dict[str, Any]) -> None:
    """Sync everything to disk before index.json makes the index valid."""
    for path in folder.rglob("*"):
        _sync(path)
    draft = folder / "index.json.part"
    draft.write_text(json.dumps(about))
    _sync(draft)
    draft.replace(folder / "index.json")
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
