"""Our own backend: a model, its batch, and the queue in front of it."""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import torch

from worker.call_format import call_format
from worker.engine.adapter_check import AdapterChecks
from worker.engine.adapters import Adapters
from worker.engine.backend import Handle, Listener
from worker.engine.chunked_decoder import ChunkedDecoder
from worker.engine.compute_thread import ComputeThread, on_thread_that_ends
from worker.engine.decoder import make_decoder
from worker.engine.logprobs import LogprobRecorder
from worker.engine.model_loader import LoadedModel, load
from worker.engine.packed_linear import free_bytes
from worker.engine.requests import Completion, EngineFailed, GenerationRequest, PromptTooLong
from worker.engine.sequences import SequenceState
from worker.engine.slot_decoder import SlotDecoder
from worker.engine.structured_output import GrammarCache
from worker.engine.thought import Thought
from worker.engine.vocabulary import Vocabulary
from worker.template import prompt_token_ids, text_token_ids
from worker.thinking import thought_tokens

log = logging.getLogger(__name__)

MAX_SEQUENCES = 32  # in one batch; on two cores more gain little and make each one slower
OVERTAKEN_SECONDS = 5.0  # how long shorter requests may overtake one that does not fit yet
KV_CACHE_SHARE = 0.25  # of the memory that is free after loading

T = TypeVar("T")


@dataclass(eq=False)
class _QueuedRequest:
    request: GenerationRequest
    prompt_token_ids: list[int]
    max_new_tokens: int
    handle: Handle
    queued_at: float = field(default_factory=time.monotonic)


class Engine:
    """A base model in memory that answers concurrent requests. See `backend.Backend`.

    base_folder: safetensors and tokenizer.
    number_format: auto, bf16, fp32, nf4 or int8; the attribute holds the one that was chosen.
    max_sequences: most sequences in one batch.
    adapters_kept: adapters kept in memory while unused.
    may_merge: an adapter that is used alone may become a part of a copy of the weights. Except in
        fp32 that can change an answer.
    compute: the thread to share with other models; its own by default.

    Raises as `model_loader.load`. Close it when done; it is also a context manager.
    """

    kind, memory_bytes = "own", 0

    def __init__(
        self,
        base_folder: Path | str,
        number_format: str = "auto",
        *,
        max_sequences: int = MAX_SEQUENCES,
        adapters_kept: int = 8,
        may_merge: bool = True,
        compute: ComputeThread | None = None,
    ) -> None:
        self._max_sequences = max_sequences
        self._queue: deque[_QueuedRequest] = deque()
        self._calls: deque[tuple[Callable[[], Any], Future[Any]]] = deque()
        self._handles: dict[int, Handle] = {}  # by the id() of the sequence
        self._closed = False
        folder = Path(base_folder)
        on_thread_that_ends(lambda: self._open(folder, number_format, adapters_kept, may_merge))
        self._compute = compute or ComputeThread()
        self._wake = self._compute.wake
        self._compute.add(self)

    def _open(self, folder: Path, number_format: str, kept: int, may_merge: bool) -> None:
        self.loaded: LoadedModel = load(folder, number_format)
        self.folder, self.number_format = self.loaded.folder, self.loaded.number_format
        self.adapters = Adapters(self.loaded.model, self.loaded.dtype, kept, may_merge)
        self._decoder, self._bytes_per_token = make_decoder(self.loaded, self.adapters)
        self.adapter_checks = AdapterChecks(self.loaded, self.adapters)
        self.vocabulary = Vocabulary(
            self.loaded.tokenizer, self.loaded.eos_token_ids, self.loaded.vocabulary_size
        )
        self.grammars = GrammarCache(self.vocabulary, call_format(self.loaded.tokenizer))
        self._thought_tokens = thought_tokens(self.loaded.tokenizer)
        self._cache_bytes = int(KV_CACHE_SHARE * free_bytes(self.loaded.device))

    # --- called from other threads ----------------------------------------------------

    def submit(self, request: GenerationRequest, listener: Listener | None = None) -> Handle:
        """Queue a request. See `Backend.submit`."""
        return self._submit([request], [listener])[0]

    def prepare(self, requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
        """Build what only some requests need, so that no other answer waits for it.

        Takes a second or more the first time. Call it from any thread but the engine's.

        Raises UnsupportedTokenizer, UnsupportedSchema.
        """
        if any(request.top_logprobs is not None for request in requests):
            _ = self.vocabulary.tokens
        return [replace(one, grammar=self.grammars.grammar(one)) for one in requests]

    def check_adapter(self, adapter: Path) -> None:
        """Load an adapter and make sure that it changes the output. Raises BadAdapter."""
        self.call(lambda: self.adapter_checks.require_effect(self.adapters.load(adapter)))

    def generate(self, requests: Sequence[GenerationRequest]) -> list[Completion]:
        """Answer all requests; completions in the same order. Raises PromptTooLong, BadAdapter."""
        return [handle.result() for handle in self._submit(requests, [None] * len(requests))]

    def call(self, work: Callable[[], T]) -> T:
        """Run `work` on the engine's thread between two steps, for direct use of the model."""
        future: Future[T] = Future()
        with self._wake:
            self._raise_if_closed()
            self._calls.append((work, future))
            self._wake.notify_all()
        return future.result()

    def logits(self, input_ids: torch.Tensor, adapter: Path | None = None) -> torch.Tensor:
        """Of every position: (batch, sequence, vocabulary), without a cache. Raises BadAdapter."""

        def compute() -> torch.Tensor:
            self.adapters.select([self.adapters.load(adapter)] * len(input_ids))
            ids = input_ids.to(self.loaded.device)
            found: torch.Tensor = self.loaded.model(input_ids=ids, use_cache=False).logits
            return found

        return self.call(compute)

    @property
    def wait_seconds(self) -> float:
        """How long the first request in the queue has been waiting."""
        try:
            return time.monotonic() - self._queue[0].queued_at
        except IndexError:
            return 0.0

    @property
    def adapter_folders(self) -> list[str]:
        """Folders of the adapters now in memory."""
        return self.adapters.names

    @property
    def uses_fast_forward(self) -> bool:
        """Whether OpenVINO or llama_forward.py computes this model's layers, not transformers."""
        return isinstance(self._decoder, ChunkedDecoder)

    @property
    def merged_adapter(self) -> str | None:
        """Folder of the adapter that is merged into the weights."""
        return getattr(self._decoder, "merged_adapter", None)

    def close(self) -> None:
        """Take no more turns; unfinished requests fail."""
        with self._wake:
            self._closed = True
        self._compute.remove(self)
        closed = EngineFailed("The engine has been closed.")
        with torch.inference_mode():
            self._fail_all(closed)
        while self._calls:
            self._calls.popleft()[1].set_exception(closed)

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the queue --------------------------------------------------------------------

    def _submit(
        self, requests: Sequence[GenerationRequest], listeners: Sequence[Listener | None]
    ) -> list[Handle]:
        new = []
        for request, listener in zip(self.prepare(requests), listeners, strict=True):
            prompt = self._tokenize(request)
            room = min(request.max_tokens, self.loaded.context_length - len(prompt))
            if room < 1:
                raise PromptTooLong(
                    f"The conversation has {len(prompt)} tokens and this model can see only "
                    f"{self.loaded.context_length}. Shorten it."
                )
            new.append(_QueuedRequest(request, prompt, room, Handle(listener, len(prompt))))
        with self._wake:
            self._raise_if_closed()
            self._queue.extend(new)
            self._wake.notify_all()
        return [queued.handle for queued in new]

    def _tokenize(self, request: GenerationRequest) -> list[int]:
        tokenizer = self.loaded.tokenizer
        if request.prompt is None:
            return prompt_token_ids(
                tokenizer, request.messages, request.tools, thinking=request.thinks
            )
        return text_token_ids(tokenizer, request.prompt)

    def _raise_if_closed(self) -> None:
        if self._closed:
            raise EngineFailed("The engine has been closed.")

    # --- on the thread that computes ---------------------------------------------------

    @property
    def has_work(self) -> bool:
        return bool(self._decoder.sequences or self._queue or self._calls)

    @property
    def may_gather(self) -> bool:
        if len(self._queue) != 1 or self._decoder.sequences or self._calls:
            return False
        return self._queue[0].request.is_one_of_several

    def take_turn(self) -> None:
        """One step of the batch, after what waits for it."""
        try:
            self._run_calls()
            self._admit()
            if self._decoder.sequences:
                self._decoder.step()
                self._emit()
        except Exception as error:
            log.exception("the decode loop failed")
            self._fail_all(EngineFailed(f"The model broke down while answering: {error}"))

    def _run_calls(self) -> None:
        while self._calls:
            work, future = self._calls.popleft()
            try:
                future.set_result(work())
            except BaseException as error:
                future.set_exception(error)

    def _admit(self) -> None:
        """Add queued requests to the batch while there is room."""
        running = self._decoder.sequences
        free = self._max_sequences - len(running)
        if running and len(self._queue) > free and free < self._worth_a_prefill:
            return
        new: list[SequenceState] = []
        while len(new) < free and (queued := self._next_in_turn(new)):
            self._queue.remove(queued)
            sequence = self._start(queued)
            if sequence is not None:
                new.append(sequence)
        if new:
            self._decoder.add(new)
            self.adapters.evict_unused({one.adapter for one in self._decoder.sequences})

    def _next_in_turn(self, new: Sequence[SequenceState]) -> _QueuedRequest | None:
        """The next request, of the caller who has the fewest in the batch; None if there is none.

        One that does not fit is overtaken by those that do, for a while.
        """
        running = Counter(one.request.caller for one in [*self._decoder.sequences, *new])
        with self._wake:
            queue = list(self._queue)
        queue.sort(key=lambda queued: running[queued.request.caller])
        for queued in queue:
            if self._fits(new, queued):
                return queued
            if time.monotonic() - queued.queued_at > OVERTAKEN_SECONDS:
                return None
        return None

    @property
    def _worth_a_prefill(self) -> int:
        """Free places for which a batch that was full is prefilled again; one by one is slow."""
        return 1 if self._decoder.joins_at_any_step else max(1, self._max_sequences // 4)

    def _fits(self, new: Sequence[SequenceState], queued: _QueuedRequest) -> bool:
        """Whether the KV cache has memory for one more sequence; a single one always may try."""
        others = [*self._decoder.sequences, *new]
        if not others or not isinstance(self._decoder, SlotDecoder):
            return True
        lengths = [len(one.prompt_token_ids) + one.max_new_tokens for one in others]
        lengths.append(len(queued.prompt_token_ids) + queued.max_new_tokens)
        return self._decoder.cache.tokens_for(lengths) * self._bytes_per_token <= self._cache_bytes

    def _start(self, queued: _QueuedRequest) -> SequenceState | None:
        """The sequence of a request; None if it ended before its first step."""
        request, handle = queued.request, queued.handle
        if handle.cancelled:
            handle.put(Completion("", 0, "cancelled", 0.0))
            return None
        try:
            adapter = self.adapters.load(request.adapter)
            if request.require_effect:
                self.adapter_checks.require_effect(adapter)
            constraint = self.grammars.constraint(request)
        except Exception as error:
            handle.put(error)
            return None
        sequence = SequenceState(
            request,
            queued.prompt_token_ids,
            adapter,
            queued.max_new_tokens,
            self.loaded.eos_token_ids,
            handle.cancel_event,
            LogprobRecorder.for_request(request, self.vocabulary),
            constraint,
            Thought.for_request(request, self._thought_tokens, self.loaded.eos_token_ids),
        )
        self._handles[id(sequence)] = handle
        return sequence

    def _emit(self) -> None:
        """Send new text to the handles; remove finished sequences from the batch."""
        for sequence in self._decoder.sequences:
            # Nobody reads what a cancelled one writes, and its last token was not selected.
            if sequence.error or sequence.cancelled:
                continue
            chunk, handle = sequence.next_chunk(self.loaded.tokenizer), self._handles[id(sequence)]
            handle.tokens = len(sequence.output_token_ids)
            if chunk or getattr(chunk, "logprobs", None):
                handle.put(chunk)
        for sequence in self._decoder.remove_finished():
            result = sequence.error or sequence.completion(self.loaded.tokenizer)
            self._handles.pop(id(sequence)).put(result)

    def _fail_all(self, error: Exception) -> None:
        self._decoder.reset()
        with self._wake:
            handles = [*self._handles.values(), *(queued.handle for queued in self._queue)]
            self._queue.clear()
        self._handles.clear()
        for handle in handles:
            handle.put(error)
