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

from worker.knowledge.cutting import Cut
from worker.knowledge.stored import Embedded

FORMAT = 1
TABLE = "passages"
MANY = 20_000  # passages from which looking at every vector takes too long
INDEX_PATIENCE = timedelta(hours=1)


@dataclass(frozen=True)
class Part:
    """What one document gives to an index."""

    document: int
    name: str
    text: str
    embedded: Embedded


def shown_to_embedder(cut: Cut, text: str) -> str:
    """A passage is found by its headings as well as by its words."""
    return f"{cut.title}\n{text[cut.at : cut.end]}"


def write(folder: Path, parts: Iterable[Part], *, embedder: str, size: int) -> dict[str, Any]:
    """Write all `parts` into `folder`, whatever an interrupted attempt left there; returns what
    index.json says. `size` is the length of a vector."""
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
        pa.RecordBatchReader.from_batches(schema, _batches(parts, schema, about)),
        schema=schema,
    )
    if about["passages"]:
        table.create_index("words", config=FTS(), wait_timeout=INDEX_PATIENCE)
    if about["passages"] >= MANY:
        cells = math.isqrt(about["passages"])
        config = IvfFlat(distance_type="cosine", num_partitions=cells)
        table.create_index("vector", config=config, wait_timeout=INDEX_PATIENCE)
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
    parts: Iterable[Part], schema: pa.Schema, about: dict[str, Any]
) -> Iterator[pa.RecordBatch]:
    """One a document; `about` counts along."""
    for part in parts:
        about["documents"].append(part.document)
        about["characters"] += len(part.text)
        cuts, embedded = part.embedded.cuts, part.embedded
        count = len(cuts)
        if not count:
            continue
        first = about["passages"]
        about["passages"] += count
        columns = {
            "id": range(first, first + count),
            "document": [part.document] * count,
            "name": [part.name] * count,
            "title": [cut.title for cut in cuts],
            "page": [cut.page for cut in cuts],
            "at": [cut.at for cut in cuts],
            "own": [cut.own for cut in cuts],
            "text": [part.text[cut.at : cut.end] for cut in cuts],
            "words": [shown_to_embedder(cut, part.text) for cut in cuts],
            "lines": _lines(embedded),
        }
        flat = pa.array(embedded.vectors.astype(np.float32).reshape(-1))
        vectors = pa.FixedSizeListArray.from_arrays(flat, embedded.vectors.shape[1])
        arrays = [pa.array(columns[f.name], f.type) for f in schema if f.name in columns]
        yield pa.RecordBatch.from_arrays([*arrays, vectors], schema=schema)


def _lines(embedded: Embedded) -> list[bytes]:
    """The sentences' vectors of each passage, one after the other."""
    ends = np.cumsum(embedded.counts)
    return [part.tobytes() for part in np.split(embedded.lines, ends[:-1])]


def _finish(folder: Path, about: dict[str, Any]) -> None:
    """On the disk before it counts."""
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
