"""Document search and embeddings in the engine process: open indexes and one embedder.

Nothing is loaded before the first question. Independent of the model manager.
"""

from __future__ import annotations

import asyncio
import logging
import math
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from finetune_app.core.engine_protocol import MAX_TEXTS
from worker.engine.fair_executor import FairExecutor
from worker.engine.model_manager import folder_of
from worker.memory import release_memory

if TYPE_CHECKING:
    from worker.knowledge.search import Index

log = logging.getLogger(__name__)

MAX_OPEN_INDEXES = 8
MAX_PASSAGES = 50
MAX_QUESTION_CHARACTERS = 20_000
THREADS = 2  # while one embeds many texts, another one searches
TEXTS_PER_PLACE = 32  # in the queue: what the embedder reads at once

T = TypeVar("T")


class TextTooLong(ValueError):
    """A text is longer than the embedder reads. `param`: the part of the request at fault."""

    param = "input"

    def __init__(self, lengths: list[int], limit: int) -> None:
        index = next(n for n, length in enumerate(lengths) if length > limit)
        super().__init__(
            f"Text {index + 1} has {lengths[index]} tokens and this model reads {limit}. "
            "Cut it into parts."
        )


class Retriever:
    """Indexes and the embedder, unloaded after a time without use. Thread-safe.

    executor: runs the calls of requests.
    """

    def __init__(self, idle_unload_seconds: float) -> None:
        self.idle_unload_seconds = idle_unload_seconds
        self.executor = FairExecutor(THREADS, "retrieval")
        self._indexes: OrderedDict[Path, Index] = OrderedDict()
        self._index_lock = threading.Lock()
        self._counter_lock, self._active_calls = threading.Lock(), 0
        self._used_at = time.monotonic()

    def search(self, folder: Path, question: str, count: int, whole: bool) -> list[dict[str, Any]]:
        """Passages that fit a question, best first; with `whole`, all of them in order."""
        with self._in_use():
            index = self._index(folder)
            found = (
                index.all() if whole else index.search(question[:MAX_QUESTION_CHARACTERS], count)
            )
        return [asdict(passage) for passage in found]

    def embed(
        self, texts: list[str], questions: bool, whole: bool = False
    ) -> tuple[list[list[float]], list[int]]:
        """Vectors of length 1, and the number of tokens of each text.

        questions: embed as questions rather than passages, where the embedder distinguishes them.
        whole: raise TextTooLong instead of truncating a text.
        """
        with self._in_use():
            from worker.knowledge import embedding

            embedder = embedding.shared_embedder()
            lengths = embedder.token_counts(texts)
            if whole and max(lengths, default=0) > embedding.MAX_TOKENS:
                raise TextTooLong(lengths, embedding.MAX_TOKENS)
            embed = embedder.embed_questions if questions else embedder.embed_passages
            vectors = embed(texts)
        return [[float(number) for number in row] for row in vectors], lengths

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        """Idle time begins when a call ends: the first one loads the embedder for seconds."""
        with self._counter_lock:
            self._active_calls += 1
        try:
            yield
        finally:
            with self._counter_lock:
                self._active_calls -= 1
                self._used_at = time.monotonic()

    def _index(self, folder: Path) -> Index:
        """An open index. Indexes never change; one whose folder was deleted is closed."""
        from worker.knowledge.search import Index

        with self._index_lock:
            for known in [path for path in self._indexes if not (path / "index.json").exists()]:
                del self._indexes[known]
            if folder not in self._indexes:
                self._indexes[folder] = Index(folder)
            self._indexes.move_to_end(folder)
            while len(self._indexes) > MAX_OPEN_INDEXES:
                self._indexes.popitem(last=False)
            return self._indexes[folder]

    async def unload_when_idle(self) -> None:
        """Runs forever: unloads everything after `idle_unload_seconds` without use."""
        while True:
            await asyncio.sleep(min(5.0, self.idle_unload_seconds))
            idle_seconds = time.monotonic() - self._used_at
            if not self._active_calls and idle_seconds > self.idle_unload_seconds:
                await asyncio.to_thread(self.close)

    def close(self) -> None:
        """Unload indexes and embedder, unless a call is active."""
        with self._counter_lock:  # no call begins meanwhile
            embedding = sys.modules.get("worker.knowledge.embedding")
            if self._active_calls or embedding is None:
                return
            if not (self._indexes or embedding.is_loaded()):
                return
            self._indexes.clear()
            embedding.unload()
            release_memory()


# --- routes ---------------------------------------------------------------------------


async def search(request: Request) -> Response:
    """{"passages"}: those of an index that fit a question, or all of them."""
    body, retriever = await request.json(), request.app.state.retriever
    folder = await folder_of(request.app.state.models, body["index"])
    count = max(1, min(int(body["count"]), MAX_PASSAGES))
    question, whole = str(body.get("question", "")), bool(body.get("whole"))
    passages = await _in_turn(
        request, lambda: retriever.search(folder, question, count, whole), body
    )
    return JSONResponse({"passages": passages})


async def embed(request: Request) -> Response:
    """{"vectors", "tokens"} of up to MAX_TEXTS texts; see `Retriever.embed` for the options."""
    body, retriever = await request.json(), request.app.state.retriever
    texts = [str(text) for text in body["texts"]]
    if len(texts) > MAX_TEXTS:
        raise ValueError(f"Ask for at most {MAX_TEXTS} texts at once.")
    questions, whole = bool(body.get("questions")), bool(body.get("whole"))
    vectors, lengths = await _in_turn(
        request,
        lambda: retriever.embed(texts, questions, whole),
        body,
        places=math.ceil(len(texts) / TEXTS_PER_PLACE),
    )
    return JSONResponse({"vectors": vectors, "tokens": lengths})


async def _in_turn(
    request: Request, work: Callable[[], T], body: dict[str, Any], places: int = 1
) -> T:
    """The result of `work`, unless the client is gone when its turn comes.

    Raises QueueFull, ClientDisconnect, and whatever `work` raises.
    """
    gone = asyncio.ensure_future(request.receive())  # nothing else comes after the body

    def work_if_wanted() -> T:
        if gone.done():
            raise ClientDisconnect
        return work()

    executor: FairExecutor = request.app.state.retriever.executor
    caller, background = str(body.get("caller", "")), bool(body.get("background"))
    try:
        return await executor.run(
            work_if_wanted, caller=caller, places=places, background=background
        )
    finally:
        gone.cancel()
