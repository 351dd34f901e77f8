"""What lies in a document's folder, so that it is read and embedded once and not for every index.

    upload          the file as it came
    text.txt        its text
    read.json       {"reader", "pages", "blocks"}: blocks are [at, end, level, page]
    passages.json   {"cutter", "embedder", "passages"}: each [at, end, own, page, title, lines]
    vectors.npy     one row a passage
    lines.npy       one row a sentence, those of the first passage first; `lines` counts them

The folder is the web's: it is not made here, so that what belongs to a deleted document cannot
come back. Each file appears whole; the JSON files come after what they speak of.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from worker.knowledge.chunking import CHUNKER_VERSION, Chunk
from worker.knowledge.document_text import Text

READER_VERSION = 1  # raised when reading changes, so that all is read again


@dataclass(frozen=True)
class Embedded:
    """A document's passages and what they mean. `lines` holds the sentences' vectors, small
    (embedding.quantised), `counts` says how many belong to each passage."""

    chunks: list[Chunk]
    counts: list[int]
    vectors: np.ndarray
    lines: np.ndarray


def save_text(folder: Path, text: Text) -> None:
    (folder / "read.json").unlink(missing_ok=True)
    _write(folder / "text.txt", text.text.encode("utf-8", "replace"))
    _write(folder / "read.json", _json({"reader": READER_VERSION, **text.to_json()}))


def load_text(folder: Path) -> Text | None:
    """None when it was not read yet, or by an older reader."""
    found = _load(folder / "read.json")
    if found is None or found["reader"] != READER_VERSION:
        return None
    text = (folder / "text.txt").read_bytes().decode("utf-8")
    return Text.from_json(text, found)


def save_passages(folder: Path, embedded: Embedded, embedder: str) -> None:
    (folder / "passages.json").unlink(missing_ok=True)
    for name, rows in (("vectors", embedded.vectors), ("lines", embedded.lines)):
        draft = folder / f"{name}.{os.getpid()}.part.npy"
        np.save(draft, rows)
        draft.replace(folder / f"{name}.npy")
    passages = [
        [c.at, c.end, c.own, c.page, c.title, count]
        for c, count in zip(embedded.chunks, embedded.counts, strict=True)
    ]
    about = {"cutter": CHUNKER_VERSION, "embedder": embedder}
    _write(folder / "passages.json", _json({**about, "passages": passages}))


def load_passages(folder: Path, embedder: str) -> Embedded | None:
    """None when they were not cut and embedded yet in today's way."""
    found = _load(folder / "passages.json")
    if found is None or (found["cutter"], found["embedder"]) != (CHUNKER_VERSION, embedder):
        return None
    return Embedded(
        chunks=[Chunk(*values[:5]) for values in found["passages"]],
        counts=[values[5] for values in found["passages"]],
        vectors=np.load(folder / "vectors.npy"),
        lines=np.load(folder / "lines.npy"),
    )


def _load(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    return found


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(content)
    draft.replace(path)
