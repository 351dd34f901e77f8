"""Files in a document's folder, so that it is read and embedded once and not for every index.

    upload          the uploaded file
    text.txt        its text
    read.json       ReadFile
    passages.json   PassagesFile
    vectors.npy     float32 (passages, dimension)
    lines.npy       int8 (sentences, dimension), in the order of the passages

The web creates the folder. It is not created here, so that nothing of a deleted document can come
back. Files are replaced atomically, each JSON file after those it describes.
"""

import json
import os
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from finetune_app.knowledge.schemas import PassagesFile, ReadFile
from worker.knowledge.chunking import CHUNKER_VERSION, Chunk
from worker.knowledge.document_text import Block, DocumentText

READER_VERSION = 3  # raised when the text changes, so that all documents are read again


@dataclass(frozen=True)
class EmbeddedChunks:
    """A document's chunks with their embeddings. `sentence_vectors` (sentences, dimension) are int8
    (see embedding.to_int8); `sentence_counts` is their number per chunk."""

    chunks: list[Chunk]
    sentence_counts: list[int]
    vectors: np.ndarray
    sentence_vectors: np.ndarray


def save_text(folder: Path, text: DocumentText) -> None:
    for name in ("passages.json", "read.json"):  # passages of an earlier text point elsewhere
        (folder / name).unlink(missing_ok=True)
    _write(folder / "text.txt", text.text.encode("utf-8", "replace"))
    blocks = [astuple(block) for block in text.blocks]
    read: ReadFile = {"reader": READER_VERSION, "pages": text.pages, "blocks": blocks}
    _write(folder / "read.json", _json(read))


def load_text(folder: Path) -> DocumentText | None:
    """None if the document was not read yet, or by another version of the reader."""
    read: ReadFile | None = _load(folder / "read.json")
    if read is None or read["reader"] != READER_VERSION:
        return None
    text = (folder / "text.txt").read_bytes().decode("utf-8")
    return DocumentText(text, [Block(*values) for values in read["blocks"]], read["pages"])


def save_chunks(folder: Path, embedded: EmbeddedChunks, embedder: str) -> None:
    (folder / "passages.json").unlink(missing_ok=True)
    for name, rows in (("vectors", embedded.vectors), ("lines", embedded.sentence_vectors)):
        draft = folder / f"{name}.{os.getpid()}.part.npy"
        np.save(draft, rows)
        draft.replace(folder / f"{name}.npy")
    saved: PassagesFile = {
        "cutter": CHUNKER_VERSION,
        "embedder": embedder,
        "passages": [
            (c.start, c.end, c.new_start, c.page, c.title, count)
            for c, count in zip(embedded.chunks, embedded.sentence_counts, strict=True)
        ],
    }
    _write(folder / "passages.json", _json(saved))


def load_chunks(folder: Path, embedder: str) -> EmbeddedChunks | None:
    """None if they were not embedded yet, by another embedder, or split by another version."""
    saved: PassagesFile | None = _load(folder / "passages.json")
    if saved is None or (saved["cutter"], saved["embedder"]) != (CHUNKER_VERSION, embedder):
        return None
    return EmbeddedChunks(
        chunks=[Chunk(*values[:5]) for values in saved["passages"]],
        sentence_counts=[values[5] for values in saved["passages"]],
        vectors=np.load(folder / "vectors.npy"),
        sentence_vectors=np.load(folder / "lines.npy"),
    )


def _load(path: Path) -> Any:
    """The content of a JSON file, None if there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    draft.write_bytes(content)
    draft.replace(path)
