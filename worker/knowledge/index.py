"""Write a search index: a folder that is written once and never changed.

    index.json      IndexManifest, written last
    passages.lance  LanceDB table of passages with their vectors and full text

Deleting a document means a new index without it, because LanceDB leaves deleted rows on the disk
(docs/decisions/0010).
"""

import json
import math
import os
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import lancedb
import numpy as np
import pyarrow as pa
from lancedb.index import FTS, IvfFlat

from finetune_app.knowledge.schemas import IndexManifest
from worker.knowledge.chunking import Chunk
from worker.knowledge.document_cache import EmbeddedChunks

FORMAT = 1
TABLE = "passages"
MIN_ROWS_FOR_VECTOR_INDEX = 20_000  # with fewer, exact search is fast enough
INDEX_TIMEOUT = timedelta(hours=1)


@dataclass(frozen=True)
class IndexedDocument:
    id: int
    name: str
    text: str
    embedded: EmbeddedChunks


def embedder_input(chunk: Chunk, text: str) -> str:
    """The passage with its headings, so that it is found by them too."""
    return f"{chunk.title}\n{text[chunk.start : chunk.end]}"


def write(
    folder: Path, documents: Iterable[IndexedDocument], *, embedder: str, dimension: int
) -> IndexManifest:
    """Write an index of the documents into `folder`, replacing that of an interrupted attempt.

    Raises FileNotFoundError if the parent folder was deleted with its documents.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    manifest: IndexManifest = {
        "format": FORMAT,
        "embedder": embedder,
        "passages": 0,
        "characters": 0,
        "documents": [],
    }
    schema = _schema(dimension)
    table = lancedb.connect(folder).create_table(
        TABLE,
        pa.RecordBatchReader.from_batches(schema, _batches(documents, schema, manifest)),
        schema=schema,
    )
    if manifest["passages"]:
        table.create_index("words", config=FTS(), wait_timeout=INDEX_TIMEOUT)
    if manifest["passages"] >= MIN_ROWS_FOR_VECTOR_INDEX:
        partitions = math.isqrt(manifest["passages"])
        config = IvfFlat(distance_type="cosine", num_partitions=partitions)
        table.create_index("vector", config=config, wait_timeout=INDEX_TIMEOUT)
    _finish(folder, manifest)
    return manifest


def _schema(dimension: int) -> pa.Schema:
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
            ("vector", pa.list_(pa.float32(), dimension)),
        ]
    )


def _batches(
    documents: Iterable[IndexedDocument], schema: pa.Schema, manifest: IndexManifest
) -> Iterator[pa.RecordBatch]:
    """One batch per document; adds it to the manifest."""
    for document in documents:
        manifest["documents"].append(document.id)
        manifest["characters"] += len(document.text)
        chunks, embedded = document.embedded.chunks, document.embedded
        count = len(chunks)
        if not count:
            continue
        first = manifest["passages"]
        manifest["passages"] += count
        columns = {
            "id": range(first, first + count),
            "document": [document.id] * count,
            "name": [document.name] * count,
            "title": [chunk.title for chunk in chunks],
            "page": [chunk.page for chunk in chunks],
            "at": [chunk.start for chunk in chunks],
            "own": [chunk.new_start for chunk in chunks],
            "text": [document.text[chunk.start : chunk.end] for chunk in chunks],
            "words": [embedder_input(chunk, document.text) for chunk in chunks],
            "lines": _sentence_vectors(embedded),
        }
        flat = pa.array(embedded.vectors.astype(np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, embedded.vectors.shape[1])
        arrays = [pa.array(columns[f.name], f.type) for f in schema if f.name in columns]
        yield pa.RecordBatch.from_arrays([*arrays, vectors], schema=schema)


def _sentence_vectors(embedded: EmbeddedChunks) -> list[bytes]:
    """The int8 vectors of each passage's sentences, as bytes."""
    ends = np.cumsum(embedded.sentence_counts)
    return [rows.tobytes() for rows in np.split(embedded.sentence_vectors, ends[:-1])]


def _finish(folder: Path, manifest: IndexManifest) -> None:
    """Sync everything to disk before index.json makes the index valid."""
    for path in folder.rglob("*"):
        _sync(path)
    draft = folder / "index.json.part"
    draft.write_text(json.dumps(manifest))
    _sync(draft)
    draft.replace(folder / "index.json")
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
