"""Child process of an index job: reads and embeds new documents, then writes the index.

A retry keeps what was read and embedded (document_cache.py) and writes the index from the start.
Events contain no text of a document, because they are stored and logged.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from finetune_app.knowledge.schemas import (
    DocumentResult,
    IndexManifest,
    IndexResult,
    IndexSpec,
    PracticeQuestion,
    SearchQuality,
)
from worker.channel import Channel, Job, LeaseLost, UserError
from worker.knowledge import document_cache
from worker.knowledge.chunking import Chunk, split_into_chunks
from worker.knowledge.document_text import Unreadable
from worker.knowledge.readers.reader_process import DELETED, Reader

if TYPE_CHECKING:
    from worker.knowledge.embedding import Embedder

CHUNKS_PER_STEP = 32  # embedded between two lease checks


@dataclass
class Document:
    """One file of the job; `problem` says why it cannot be indexed."""

    id: int
    name: str
    folder: Path
    problem: str = ""
    pages: int = 0
    characters: int = 0
    passages: int = 0

    def to_result(self) -> DocumentResult:
        return {
            "id": self.id,
            "problem": self.problem,
            "pages": self.pages,
            "characters": self.characters,
            "passages": self.passages,
        }


def run(job: Job, channel: Channel) -> IndexResult:
    """Write the index of the spec's documents into job.folder."""
    spec = cast(IndexSpec, job.spec)
    documents = [Document(one["id"], one["name"], Path(one["folder"])) for one in spec["documents"]]
    _read(documents, channel)
    if channel.stopping():
        return {"stopped": True}
    from worker.knowledge import embedding

    embedder = embedding.shared_embedder()
    _embed(documents, embedder, channel)
    if channel.stopping():
        return {"stopped": True}
    channel.emit("phase", phase="writing", message="Making them searchable")
    manifest = _write(job.folder, documents, embedder, channel)
    return {
        "documents": [document.to_result() for document in documents],
        "index": manifest,
        "practice": _measure(job.folder, spec["questions"], channel)
        if manifest["passages"]
        else {},
    }


def _read(documents: list[Document], channel: Channel) -> None:
    """One that cannot be read does not keep out the others."""
    channel.emit("phase", phase="reading", message="Reading the documents")
    reader = Reader()
    try:
        for number, document in enumerate(documents):
            channel.check()
            channel.emit("progress", done=number, total=len(documents), unit="documents")
            if channel.stopping():
                return
            try:
                _read_one(document, reader)
            except Unreadable as problem:
                document.problem = str(problem)
    finally:
        reader.close()
    channel.emit("progress", done=len(documents), total=len(documents), unit="documents")


def _read_one(document: Document, reader: Reader) -> None:
    text = document_cache.load_text(document.folder)
    if text is None:
        reader.read(document.folder / "upload", document.name, document.folder)
        text = document_cache.load_text(document.folder)
        assert text is not None
    document.pages, document.characters = text.pages, len(text.text)


def _embed(documents: list[Document], embedder: Embedder, channel: Channel) -> None:
    """Split and embed the documents that are not in the cache.

    First they are counted, then taken one after the other: together they may be gigabytes.
    """
    channel.emit("phase", phase="embedding", message="Taking in what they say")
    new = [one for one in documents if not one.problem and not _is_embedded(one, embedder)]
    for document in new:
        document.passages = len(_split(document)[1])
    total = sum(document.passages for document in new)
    done = 0
    for document in new:
        for count in _embed_one(document, embedder):
            done += count
            channel.check()
            channel.emit("progress", done=done, total=total, unit="passages")
            if channel.stopping():
                return


def _is_embedded(document: Document, embedder: Embedder) -> bool:
    cached = document_cache.load_chunks(document.folder, embedder.name)
    document.passages = len(cached.chunks) if cached else 0
    return cached is not None


def _split(document: Document) -> tuple[str, list[Chunk]]:
    """The text and its chunks; none, and a `problem`, where the document was deleted meanwhile."""
    text = document_cache.load_text(document.folder)
    if text is None:
        document.problem = DELETED
        return "", []
    return text.text, split_into_chunks(text, _without_suffix(document.name))


def _embed_one(document: Document, embedder: Embedder) -> Iterator[int]:
    """Yields the number of chunks after each step; saves them once all are embedded."""
    import numpy as np

    from worker.knowledge.embedding import to_int8
    from worker.knowledge.index import embedder_input

    text, every = _split(document)
    if document.problem:
        return
    vectors = [np.zeros((0, embedder.dimension), dtype=np.float32)]
    sentence_vectors = [np.zeros((0, embedder.dimension), dtype=np.int8)]
    for start in range(0, len(every), CHUNKS_PER_STEP):
        chunks = every[start : start + CHUNKS_PER_STEP]
        vectors.append(embedder.embed_passages([embedder_input(one, text) for one in chunks]))
        sentences = [sentence for one in chunks for sentence in one.sentences]
        sentence_vectors.append(to_int8(embedder.embed_passages(sentences)))
        yield len(chunks)
    embedded = document_cache.EmbeddedChunks(
        chunks=every,
        sentence_counts=[len(one.sentences) for one in every],
        vectors=np.concatenate(vectors),
        sentence_vectors=np.concatenate(sentence_vectors),
    )
    try:
        document_cache.save_chunks(document.folder, embedded, embedder.name)
    except FileNotFoundError:
        document.problem = DELETED


def _write(
    folder: Path, documents: list[Document], embedder: Embedder, channel: Channel
) -> IndexManifest:
    from worker.knowledge import index

    def indexed() -> Iterator[index.IndexedDocument]:
        for document in documents:
            channel.check()
            if document.problem:
                continue
            text = document_cache.load_text(document.folder)
            embedded = document_cache.load_chunks(document.folder, embedder.name)
            if text is None or embedded is None:
                raise LeaseLost  # the document was just deleted, which cancels this job
            yield index.IndexedDocument(document.id, document.name, text.text, embedded)

    try:
        return index.write(folder, indexed(), embedder=embedder.name, dimension=embedder.dimension)
    except FileNotFoundError as error:
        raise LeaseLost from error


def _measure(folder: Path, questions: list[PracticeQuestion], channel: Channel) -> SearchQuality:
    if not questions:
        return {}
    from worker.knowledge.search import Index
    from worker.knowledge.search_quality import measure

    channel.emit("phase", phase="practice", message="Asking it your practice questions")
    try:
        return measure(Index(folder), questions)
    except UserError:  # reported at the next search; the index itself is complete
        return {}


def _without_suffix(name: str) -> str:
    return name.rsplit(".", 1)[0] if "." in name[1:] else name
