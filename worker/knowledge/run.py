"""One index, in its own process: read what is new, cut it, embed it, write the index anew.

Killed at any point, the next attempt keeps what was read and embedded (stored.py) and writes the
index from the beginning. Nothing of a document's text goes into an event: that would end up in the
database or a log.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from worker.channel import Channel, Job, LeaseLost, UserError
from worker.knowledge import stored
from worker.knowledge.cutting import Cut, cut
from worker.knowledge.reading.process import GONE, Reader
from worker.knowledge.reading.text import Text, Unreadable

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
    cuts: list[Cut] = field(default_factory=list)

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "problem": self.problem,
            "pages": self.pages,
            "characters": self.characters,
            "passages": len(self.cuts),
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

    embedder = embedding.shared()
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
    text = stored.text_of(document.folder)
    if text is None:
        reader.read(document.folder / "upload", document.name, document.folder)
        text = stored.text_of(document.folder)
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
        known = stored.passages_of(document.folder, embedder.name)
        if known is not None:
            document.cuts = known.cuts
            continue
        text = stored.text_of(document.folder)
        if text is None:
            document.problem = GONE
            continue
        document.cuts = cut(text, _title(document.name))
        total += len(document.cuts)
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

    from worker.knowledge.embedding import small
    from worker.knowledge.index import shown_to_embedder

    vectors = [np.zeros((0, embedder.size), dtype=np.float32)]
    lines = [np.zeros((0, embedder.size), dtype=np.int8)]
    for start in range(0, len(document.cuts), AT_ONCE):
        some = document.cuts[start : start + AT_ONCE]
        vectors.append(embedder.passages([shown_to_embedder(one, text.text) for one in some]))
        lines.append(small(embedder.passages([line for one in some for line in one.lines])))
        yield len(some)
    embedded = stored.Embedded(
        cuts=document.cuts,
        counts=[len(one.lines) for one in document.cuts],
        vectors=np.concatenate(vectors),
        lines=np.concatenate(lines),
    )
    try:
        stored.keep_passages(document.folder, embedded, embedder.name)
    except FileNotFoundError:
        document.problem = GONE


def _write(
    folder: Path, documents: list[Document], embedder: Any, channel: Channel
) -> dict[str, Any]:
    from worker.knowledge import index

    def parts() -> Iterator[index.Part]:
        for document in documents:
            channel.check()
            if document.problem:
                continue
            text = stored.text_of(document.folder)
            known = stored.passages_of(document.folder, embedder.name)
            if text is None or known is None:
                raise LeaseLost  # it was deleted just now, and so will this index be
            yield index.Part(document.id, document.name, text.text, known)

    try:
        return index.write(folder, parts(), embedder=embedder.name, size=embedder.size)
    except FileNotFoundError as error:
        raise LeaseLost from error


def _practice(job: Job, channel: Channel) -> dict[str, Any]:
    questions = job.spec["questions"]
    if not questions:
        return {}
    from worker.knowledge.practice import measure
    from worker.knowledge.search import Index

    channel.emit("phase", phase="practice", message="Asking it your practice questions")
    try:
        return measure(Index(job.folder), questions)
    except UserError:  # search says what is wrong when somebody asks; the index is there
        return {}


def _title(name: str) -> str:
    """A file's name without its ending."""
    return name.rsplit(".", 1)[0] if "." in name[1:] else name
