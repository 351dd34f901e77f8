"""The engine: one thread that owns the model, and the queue in front of it."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch

from worker.engine.adapter_check import AdapterChecks
from worker.engine.adapters import Adapters
from worker.engine.backend import StreamItem
from worker.engine.decoder import make_decoder
from worker.engine.kv_cache import slots_for
from worker.engine.logprobs import LogprobRecorder
from worker.engine.model_loader import LoadedModel, load
from worker.engine.packed_linear import free_bytes
from worker.engine.requests import Completion, EngineFailed, GenerationRequest, PromptTooLong
from worker.engine.sequences import SequenceState
from worker.engine.structured_output import SchemaCache
from worker.engine.vocabulary import Vocabulary
from worker.template import prompt_token_ids, text_token_ids

log = logging.getLogger(__name__)

MAX_ROWS = 32  # on two cores, 60 prompts: more rows gain little and make each row wait
GATHER_SECONDS = 0.02  # an idle engine waits this long for company before the first step
CACHE_SHARE = 0.25  # of the memory free after loading, for attention memory

T = TypeVar("T")


class Handle:
    """A submitted request: iterate for pieces of text, or wait for the result."""

    def __init__(self, listener: Callable[[StreamItem], None] | None = None) -> None:
        self._items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
        self.put = listener or self._items.put
        self.unwanted = threading.Event()

    def __iter__(self) -> Iterator[str]:
        """Pieces of text as they are written; `completion` is set afterwards."""
        while True:
            item = self._items.get()
            if isinstance(item, str):
                yield item
            elif isinstance(item, Completion):
                self.completion = item
                return
            else:
                raise item

    def result(self) -> Completion:
        """Wait for the end. Raises what went wrong."""
        for _piece in self:
            pass
        return self.completion

    def cancel(self) -> None:
        """Nobody wants this answer any more; the row leaves before the next step."""
        self.unwanted.set()

    @property
    def cancelled(self) -> bool:
        return self.unwanted.is_set()


@dataclass
class _Waiting:
    request: GenerationRequest
    prompt: list[int]
    room: int
    handle: Handle
    since: float = field(default_factory=time.monotonic)


class Engine:
    """One base model in memory, decoding for whoever asks. See serving.Backend.

    base_folder: safetensors and tokenizer. number_format: auto, bf16 or fp32; `number_format`
    holds what was chosen. may_merge: an adapter that has it to itself may be merged into a copy of
    the weights, which in bf16 can change an answer. Raises BadModel. Close it when done.
    """

    kind, trouble, memory_bytes = "own", "", 0

    def __init__(
        self,
        base_folder: Path | str,
        number_format: str = "auto",
        *,
        max_rows: int = MAX_ROWS,
        adapters_kept: int = 8,
        may_merge: bool = True,
    ) -> None:
        self._max_rows = max_rows
        self._waiting: deque[_Waiting] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._handles: dict[int, Handle] = {}
        self._wake = threading.Condition()
        self._closed = False
        folder, opened = Path(base_folder), Future[None]()
        self._thread = threading.Thread(
            target=self._run,
            args=(opened, lambda: self._open(folder, number_format, adapters_kept, may_merge)),
            name="engine",
            daemon=True,
        )
        self._thread.start()
        if opened.exception():
            self._thread.join()
        opened.result()

    def _open(self, folder: Path, number_format: str, kept: int, may_merge: bool) -> None:
        self.loaded: LoadedModel = load(folder, number_format)
        self.folder, self.number_format = self.loaded.folder, self.loaded.number_format
        self.adapters = Adapters(self.loaded.model, self.loaded.dtype, kept, may_merge)
        self._decoder, self._bytes_per_token = make_decoder(self.loaded, self.adapters)
        self.adapter_checks = AdapterChecks(self.loaded, self.adapters)
        self.vocabulary = Vocabulary(
            self.loaded.tokenizer, self.loaded.ends, self.loaded.vocabulary_size
        )
        self.schemas = SchemaCache(self.vocabulary)
        self._cache_bytes = int(CACHE_SHARE * free_bytes(self.loaded.device))

    # --- what others call -------------------------------------------------------------

    def submit(
        self, request: GenerationRequest, listener: Callable[[StreamItem], None] | None = None
    ) -> Handle:
        """Queue a request. With a listener, pieces and the end go to it, from the engine's thread.

        Raises PromptTooLong, UnsupportedSchema.
        """
        return self._submit([request], [listener])[0]

    def prepare(self, requests: Iterable[GenerationRequest]) -> None:
        """Make what only some requests need, so that no other answer waits for it. Takes a second
        or more the first time; from any thread but the engine's. Raises NotReadable,
        UnsupportedSchema."""
        if any(request.top_logprobs is not None for request in requests):
            _ = self.vocabulary.tokens
        for schema in {request.schema for request in requests if request.schema}:
            self.schemas.matcher(schema)

    def check_adapter(self, adapter: Path) -> None:
        """Read an adapter and see that it changes something. Raises BadAdapter."""
        self.call(lambda: self.adapter_checks.require(self.adapters.load(adapter)))

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Answer all requests; results in the order asked. Raises PromptTooLong, BadAdapter."""
        return [handle.result() for handle in self._submit(requests, [None] * len(requests))]

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` on the engine's thread between two steps: for direct use of the model."""
        future: Future[T] = Future()
        with self._wake:
            self._refuse_if_closed()
            self._calls.append((work, future))
            self._wake.notify()
        return future.result()

    @property
    def busy(self) -> int:
        """Requests running or waiting."""
        return len(self._handles) + len(self._waiting)

    @property
    def waited(self) -> float:
        """Seconds that the first in the queue has waited for a place."""
        try:
            return time.monotonic() - self._waiting[0].since
        except IndexError:
            return 0.0

    @property
    def held(self) -> list[str]:
        """Folders of the adapters now in memory."""
        return self.adapters.names

    @property
    def fast(self) -> bool:
        """Whether rows stream and join one by one (False: plain generate serves this model)."""
        return bool(self._bytes_per_token)

    @property
    def own_forward(self) -> bool:
        """Whether this model's layers are computed as llama.py does."""
        return bool(getattr(self._decoder, "own_forward", False))

    @property
    def merged(self) -> str | None:
        """Folder of the adapter that is merged into the weights, where one is."""
        return getattr(self._decoder, "merged", None)

    def close(self) -> None:
        """Stop the thread; unfinished requests fail."""
        with self._wake:
            self._closed = True
            self._wake.notify()
        self._thread.join()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the queue --------------------------------------------------------------------

    def _submit(
        self,
        requests: Sequence[GenerationRequest],
        listeners: Sequence[Callable[[StreamItem], None] | None],
    ) -> list[Handle]:
        self.prepare(requests)
        new = []
        for request, listener in zip(requests, listeners, strict=True):
            prompt = self._prompt(request)
            room = min(request.max_new_tokens, self.loaded.context - len(prompt))
            if room < 1:
                raise PromptTooLong(
                    f"The conversation has {len(prompt)} tokens and this model can see only "
                    f"{self.loaded.context}. Shorten it."
                )
            new.append(_Waiting(request, prompt, room, Handle(listener)))
        with self._wake:
            self._refuse_if_closed()
            self._waiting.extend(new)
            self._wake.notify()
        return [waiting.handle for waiting in new]

    def _prompt(self, request: GenerationRequest) -> list[int]:
        tokenizer = self.loaded.tokenizer
        if request.prompt is None:
            return prompt_token_ids(tokenizer, request.messages)
        return text_token_ids(tokenizer, request.prompt)

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise EngineFailed("The engine has been closed.")

    # --- the thread -------------------------------------------------------------------

    def _run(self, opened: Future[None], open_it: Callable[[], None]) -> None:
        """Load and decode on the same thread. Every thread that computes gets helpers of its own
        (libgomp), and as soon as a process has more of them than processors they go to sleep after
        each product: with a model loaded elsewhere, a step for one row took 1.6 times as long."""
        try:
            open_it()
        except BaseException as problem:
            opened.set_exception(problem)
        else:
            opened.set_result(None)
            self._work()

    @torch.inference_mode()
    def _work(self) -> None:
        while self._wait_for_work():
            try:
                self._run_calls()
                self._admit()
                if self._decoder.rows:
                    self._decoder.step()
                    self._hand_out()
            except Exception as problem:
                log.exception("the decode loop failed")
                self._fail_all(EngineFailed(f"The model broke down while answering: {problem}"))
        closed = EngineFailed("The engine has been closed.")
        self._fail_all(closed)
        while self._calls:
            self._calls.popleft()[1].set_exception(closed)

    def _wait_for_work(self) -> bool:
        with self._wake:
            if not self._decoder.rows and not self._waiting and not self._calls:
                while not (self._waiting or self._calls or self._closed):
                    self._wake.wait()
                if len(self._waiting) == 1 and not self._closed:
                    self._wake.wait(GATHER_SECONDS)
            return not self._closed

    def _run_calls(self) -> None:
        while self._calls:
            work, future = self._calls.popleft()
            try:
                future.set_result(work())
            except BaseException as problem:
                future.set_exception(problem)

    def _admit(self) -> None:
        """Let waiting requests join while there is room, several at a time if many wait."""
        running = self._decoder.rows
        free = self._max_rows - len(running)
        # Reading prompts one by one is slow; behind a full batch, wait for a few free places.
        if running and len(self._waiting) > free and free < max(1, self._max_rows // 4):
            return
        rows: list[SequenceState] = []
        while self._waiting and len(rows) < free and self._fits(rows, self._waiting[0]):
            row = self._start(self._waiting.popleft())
            if row is not None:
                rows.append(row)
        if rows:
            self._decoder.join(rows)
            self.adapters.forget_unused({row.adapter for row in self._decoder.rows})

    def _fits(self, new: list[SequenceState], waiting: _Waiting) -> bool:
        """Whether the attention memory holds one more row; a single row always may try."""
        rows = [*self._decoder.rows, *new]
        longest = max(
            [len(row.prompt) + row.room for row in rows] + [len(waiting.prompt) + waiting.room]
        )
        needed = slots_for(len(rows) + 1) * longest * self._bytes_per_token
        return not rows or needed <= self._cache_bytes

    def _start(self, waiting: _Waiting) -> SequenceState | None:
        if waiting.handle.cancelled:
            waiting.handle.put(Completion("", 0, "cancelled", 0.0))
            return None
        try:
            adapter = self.adapters.load(waiting.request.adapter)
            if waiting.request.require_effect:
                self.adapter_checks.require(adapter)
            schema = waiting.request.schema
            constraint = self.schemas.constraint(schema) if schema else None
        except Exception as problem:
            waiting.handle.put(problem)
            return None
        row = SequenceState(
            waiting.request,
            waiting.prompt,
            adapter,
            waiting.room,
            self.loaded.ends,
            waiting.handle.unwanted,
            self._logprob_recorder(waiting.request),
            constraint,
        )
        self._handles[id(row)] = waiting.handle
        return row

    def _logprob_recorder(self, request: GenerationRequest) -> LogprobRecorder | None:
        most = request.top_logprobs
        return None if most is None else LogprobRecorder(self.vocabulary, most)

    def _hand_out(self) -> None:
        """Pass on new text; say goodbye to rows that are over."""
        for row in self._decoder.rows:
            if row.failure:
                continue
            piece = row.news(self.loaded.tokenizer)
            if piece or getattr(piece, "logprobs", None):
                self._handles[id(row)].put(piece)
        for row in self._decoder.drop_finished():
            answer = row.failure or row.completion(self.loaded.tokenizer)
            self._handles.pop(id(row)).put(answer)

    def _fail_all(self, problem: Exception) -> None:
        self._decoder.reset()
        handles = list(self._handles.values()) + [w.handle for w in self._waiting]
        self._handles.clear()
        self._waiting.clear()
        for handle in handles:
            handle.put(problem)
