"""Search in documents, for the engine process: open indexes and one embedder, until idle.

Nothing of this is loaded before the first question, and the models' ModelManager knows nothing
of it.
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

MAX_OPEN_INDEXES = 8  # indexes
MAX_PASSAGES = 50
MAX_TEXTS = 256
MAX_QUESTION_CHARACTERS = 20_000  # characters


class TextTooLong(ValueError):
    """`param`: the part of a program's request that is to blame."""

    param = "input"

    def __init__(self, lengths: list[int], most: int) -> None:
        at = next(n for n, length in enumerate(lengths) if length > most)
        super().__init__(
            f"Text {at + 1} has {lengths[at]} tokens and this model reads {most}. "
            "Cut it into parts."
        )


class Retriever:
    """Used from threads; `idle_unload_seconds` in seconds."""

    def __init__(self, idle_unload_seconds: float = 600.0) -> None:
        self.idle_unload_seconds = idle_unload_seconds
        self._open: OrderedDict[Path, Index] = OrderedDict()
        self._lock = threading.Lock()
        self._counter_lock, self._active_calls = threading.Lock(), 0
        self._used_at = time.monotonic()

    def search(self, folder: Path, question: str, count: int, whole: bool) -> list[dict[str, Any]]:
        with self._busy():
            index = self._index(folder)
            found = (
                index.all() if whole else index.search(question[:MAX_QUESTION_CHARACTERS], count)
            )
        return [asdict(passage) for passage in found]

    def embed(
        self, texts: list[str], questions: bool, whole: bool = False
    ) -> tuple[list[list[float]], list[int]]:
        """Vectors, and the tokens of each text. `whole`: raise TextTooLong rather than cut one."""
        with self._busy():
            from worker.knowledge import embedding

            embedder = embedding.shared()
            lengths = embedder.lengths(texts)
            if whole and max(lengths, default=0) > embedding.LONGEST:
                raise TextTooLong(lengths, embedding.LONGEST)
            vectors = embedder.questions(texts) if questions else embedder.passages(texts)
        return [[float(number) for number in row] for row in vectors], lengths

    @contextmanager
    def _busy(self) -> Iterator[None]:
        """Idle begins when the work ends: the first question waits seconds for the embedder."""
        with self._counter_lock:
            self._active_calls += 1
        try:
            yield
        finally:
            with self._counter_lock:
                self._active_calls -= 1
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
            while len(self._open) > MAX_OPEN_INDEXES:
                self._open.popitem(last=False)
            return self._open[folder]

    async def unload_when_idle(self) -> None:
        """Runs for ever: lets go of everything that nobody has asked for a while."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload_seconds))
            if (
                not self._active_calls
                and time.monotonic() - self._used_at > self.idle_unload_seconds
            ):
                await asyncio.to_thread(self.close)

    def close(self) -> None:
        import sys

        from worker.engine.model_manager import release_memory

        with self._counter_lock:  # nobody begins meanwhile
            embedding = sys.modules.get("worker.knowledge.embedding")
            if self._active_calls or embedding is None or not (self._open or embedding.is_loaded()):
                return
            self._open.clear()
            embedding.unload()
            release_memory()


# --- routes ---------------------------------------------------------------------------


async def search(request: HttpRequest) -> Response:
    """Passages of an index for a question, or all of them."""
    asked, retriever = await request.json(), request.app.state.retriever
    folder = request.app.state.manager.folder(asked["index"])
    count = max(1, min(int(asked.get("count", 5)), MAX_PASSAGES))
    passages = await asyncio.to_thread(
        retriever.search, folder, str(asked.get("question", "")), count, bool(asked.get("whole"))
    )
    return JSONResponse({"passages": passages})


async def embed(request: HttpRequest) -> Response:
    """Vectors of length 1 for texts; `questions` where the embedder tells those apart. `whole`:
    a text that is too long is refused, not cut."""
    asked, retriever = await request.json(), request.app.state.retriever
    texts = [str(text) for text in asked["texts"]]
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"Ask for at most {MAX_TEXTS} texts at once.")
    vectors, lengths = await asyncio.to_thread(
        retriever.embed, texts, bool(asked.get("questions")), bool(asked.get("whole"))
    )
    return JSONResponse({"vectors": vectors, "tokens": lengths})
