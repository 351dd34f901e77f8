"""The child process that makes an index: reads new documents, splits and embeds them, writes it.

After an interruption the next attempt keeps what was read and embedded (document_cache.py) and
writes the index from the beginning. No text of a document goes into an event, because events end up
in the database or a log.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.channel import Channel, Job, LeaseLost, UserError
from worker.knowledge import document_cache
from worker.knowledge.chunking import Chunk, split_into_chunks
from worker.knowledge.document_text import Text, Unreadable
from worker.knowledge.readers.reader_process import GONE, Reader

AT_ONCE = 32  # passages embedded between two looks at the lease


@dataclass
class Document:
    """One file on its way into the index; `problem` says why it does not get there."""

    id: int
    name: str
    folder: Path
    problem: str = ""
    pages: int = 0
    characters: int = 0
    chunks: list[Chunk] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "problem": self.problem,
            "pages": self.pages,
            "characters": self.characters,
            "passages": len(self.chunks),
        }


def run(job: Job, channel: Channel) -> dict[str, Any]:
    """Spec: {"documents": [{"id", "name", "folder"}], "questions": [{"id", "question", "answer"}]}.

    The index is written into job.folder.
    """
    documents = [
        Document(one["id"], one["name"], Path(one["folder"])) for one in job.spec["documents"]
    ]
    _read(documents, channel)
    if channel.stopping():
        return {"stopped": True}
    from worker.knowledge import embedding

    embedder = embedding.shared_embedder()
    _embed(documents, embedder, channel)
    if channel.stopping():
        return {"stopped": True}
    channel.emit("phase", phase="writing", message="Making them searchable")
    about = _write(job.folder, documents, embedder, channel)
    result = {"documents": [document.told() for document in documents], "index": about}
    return result | {"practice": _practice(job, channel) if about["passages"] else {}}


def _read(documents: list[Document], channel: Channel) -> None:
    """Each on its own: what is wrong with one is no reason to leave out the others."""
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


def _embed(documents: list[Document], embedder: Any, channel: Channel) -> None:
    """Those that were not embedded before, by this embedder."""
    channel.emit("phase", phase="embedding", message="Taking in what they say")
    new: list[tuple[Document, Text]] = []
    total = 0
    for document in documents:
        if document.problem:
            continue
        known = document_cache.load_passages(document.folder, embedder.name)
        if known is not None:
            document.chunks = known.chunks
            continue
        text = document_cache.load_text(document.folder)
        if text is None:
            document.problem = GONE
            continue
        document.chunks = split_into_chunks(text, _title(document.name))
        total += len(document.chunks)
        new.append((document, text))
    done = 0
    for document, text in new:
        for more in _embed_one(document, text, embedder):
            done += more
            channel.check()
            channel.emit("progress", done=done, total=total, unit="passages")
            if channel.stopping():
                return


def _embed_one(document: Document, text: Text, embedder: Any) -> Iterator[int]:
    """Yields how many passages were done each time; kept once the document is done whole."""
    import numpy as np

    from worker.knowledge.embedding import quantised
    from worker.knowledge.index import embedder_input

    vectors = [np.zeros((0, embedder.size), dtype=np.float32)]
    lines = [np.zeros((0, embedder.size), dtype=np.int8)]
    for start in range(0, len(document.chunks), AT_ONCE):
        some = document.chunks[start : start + AT_ONCE]
        vectors.append(embedder.passages([embedder_input(one, text.text) for one in some]))
        lines.append(quantised(embedder.passages([line for one in some for line in one.lines])))
        yield len(some)
    embedded = document_cache.Embedded(
        chunks=document.chunks,
        counts=[len(one.lines) for one in document.chunks],
        vectors=np.concatenate(vectors),
        lines=np.concatenate(lines),
    )
    try:
        document_cache.save_passages(document.folder, embedded, embedder.name)
    except FileNotFoundError:
        document.problem = GONE


def _write(
    folder: Path, documents: list[Document], embedder: Any, channel: Channel
) -> dict[str, Any]:
    from worker.knowledge import index

    def parts() -> Iterator[index.IndexedDocument]:
        for document in documents:
            channel.check()
            if document.problem:
                continue
            text = document_cache.load_text(document.folder)
            known = document_cache.load_passages(document.folder, embedder.name)
            if text is None or known is None:
                raise LeaseLost  # it was deleted just now, and so will this index be
            yield index.IndexedDocument(document.id, document.name, text.text, known)

    try:
        return index.write(folder, parts(), embedder=embedder.name, size=embedder.size)
    except FileNotFoundError as error:
        raise LeaseLost from error


def _practice(job: Job, channel: Channel) -> dict[str, Any]:
    questions = job.spec["questions"]
    if not questions:
        return {}
    from worker.knowledge.search import Index
    from worker.knowledge.search_quality import measure

    channel.emit("phase", phase="practice", message="Asking it your practice questions")
    try:
        return measure(Index(job.folder), questions)
    except UserError:  # search says what is wrong when somebody asks; the index is there
        return {}


def _title(name: str) -> str:
    """A file's name without its ending."""
    return name.rsplit(".", 1)[0] if "." in name[1:] else name
