"""Search in documents, for the engine process: open indexes and one embedder, until idle.

Nothing of this is loaded before the first question, and the models' House knows nothing of it.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response

if TYPE_CHECKING:
    from worker.knowledge.search import Index

log = logging.getLogger(__name__)

MOST_OPEN = 8  # indexes
MOST_PASSAGES = 50
MOST_TEXTS = 256
LONGEST_QUESTION = 20_000  # characters


class TextTooLong(ValueError):
    """`param`: the part of a program's request that is to blame."""

    param = "input"

    def __init__(self, lengths: list[int], most: int) -> None:
        at = next(n for n, length in enumerate(lengths) if length > most)
        super().__init__(
            f"Text {at + 1} has {lengths[at]} tokens and this model reads {most}. "
            "Cut it into parts."
        )


class Library:
    """Used from threads; `idle_unload` in seconds."""

    def __init__(self, idle_unload: float = 600.0) -> None:
        self.idle_unload = idle_unload
        self._open: OrderedDict[Path, Index] = OrderedDict()
        self._lock = threading.Lock()
        self._counting, self._at_work = threading.Lock(), 0
        self._used_at = time.monotonic()

    def search(self, folder: Path, question: str, count: int, whole: bool) -> list[dict[str, Any]]:
        with self._in_use():
            index = self._index(folder)
            found = index.all() if whole else index.search(question[:LONGEST_QUESTION], count)
        return [asdict(passage) for passage in found]

    def embed(
        self, texts: list[str], questions: bool, whole: bool = False
    ) -> tuple[list[list[float]], list[int]]:
        """Vectors, and the tokens of each text. `whole`: raise TextTooLong rather than cut one."""
        with self._in_use():
            from worker.knowledge import embedding

            embedder = embedding.shared()
            lengths = embedder.lengths(texts)
            if whole and max(lengths, default=0) > embedding.LONGEST:
                raise TextTooLong(lengths, embedding.LONGEST)
            vectors = embedder.questions(texts) if questions else embedder.passages(texts)
        return [[float(number) for number in row] for row in vectors], lengths

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Idle begins when the work ends: the first question waits seconds for the embedder."""
        with self._counting:
            self._at_work += 1
        try:
            yield
        finally:
            with self._counting:
                self._at_work -= 1
                self._used_at = time.monotonic()

    def _index(self, folder: Path) -> Index:
        """An index never changes, so an open one stays good; one whose folder went is let go."""
        from worker.knowledge.search import Index

        with self._lock:
            for known in [path for path in self._open if not (path / "index.json").exists()]:
                del self._open[known]
            if folder not in self._open:
                self._open[folder] = Index(folder)
            self._open.move_to_end(folder)
            while len(self._open) > MOST_OPEN:
                self._open.popitem(last=False)
            return self._open[folder]

    async def watch_idleness(self) -> None:
        """Runs for ever: lets go of everything that nobody has asked for a while."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload))
            if not self._at_work and time.monotonic() - self._used_at > self.idle_unload:
                await asyncio.to_thread(self.close)

    def close(self) -> None:
        import sys

        from worker.engine.house import give_memory_back

        with self._counting:  # nobody begins meanwhile
            embedding = sys.modules.get("worker.knowledge.embedding")
            if self._at_work or embedding is None or not (self._open or embedding.is_loaded()):
                return
            self._open.clear()
            embedding.unload()
            give_memory_back()


# --- routes ---------------------------------------------------------------------------


async def search(request: HttpRequest) -> Response:
    """Passages of an index for a question, or all of them."""
    asked, library = await request.json(), request.app.state.library
    folder = request.app.state.house.folder(asked["index"])
    count = max(1, min(int(asked.get("count", 5)), MOST_PASSAGES))
    passages = await asyncio.to_thread(
        library.search, folder, str(asked.get("question", "")), count, bool(asked.get("whole"))
    )
    return JSONResponse({"passages": passages})


async def embed(request: HttpRequest) -> Response:
    """Vectors of length 1 for texts; `questions` where the embedder tells those apart. `whole`:
    a text that is too long is refused, not cut."""
    asked, library = await request.json(), request.app.state.library
    texts = [str(text) for text in asked["texts"]]
    if len(texts) > MOST_TEXTS:
        raise ValueError(f"Ask for at most {MOST_TEXTS} texts at once.")
    vectors, lengths = await asyncio.to_thread(
        library.embed, texts, bool(asked.get("questions")), bool(asked.get("whole"))
    )
    return JSONResponse({"vectors": vectors, "tokens": lengths})
