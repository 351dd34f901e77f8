"""The vLLM backend: the interface of our own engine, with another process that computes.

One thread runs an event loop that watches the child process and reads its streams. vLLM is sent
token ids and returns token ids; messages become tokens in template.py and tokens become text in
sequences.py, as for our own engine.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from finetune_app.core.chat_messages import Message
from worker.call_format import call_format
from worker.engine.adapter_check import CHECK_PROMPT
from worker.engine.adapters import BadAdapter
from worker.engine.backend import BackendUnsupported, Handle, Listener
from worker.engine.logprobs import LogprobRecorder
from worker.engine.model_loader import BadModel, ModelConfig, read_config
from worker.engine.requests import Completion, EngineFailed, GenerationRequest, PromptTooLong
from worker.engine.sequences import SequenceState
from worker.engine.structured_output import GrammarCache
from worker.engine.thought import Thought
from worker.engine.vllm.adapter_cache import AdapterCache
from worker.engine.vllm.adapter_check import PeftReferences, check_adapter
from worker.engine.vllm.client import (
    BASE_MODEL,
    StreamChunk,
    VllmClient,
    VllmConnectionError,
    VllmRejected,
)
from worker.engine.vllm.completion_body import answer_body, thought_body
from worker.engine.vllm.peft_reference import Reference
from worker.engine.vllm.server_process import (
    DTYPES,
    MAX_ADAPTERS,
    START_TIMEOUT_SECONDS,
    VllmProcess,
)
from worker.engine.vocabulary import Vocabulary
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids, text_token_ids
from worker.thinking import thought_tokens

log = logging.getLogger(__name__)

POLL_SECONDS = 0.2
FIRST_DELAY_SECONDS, MAX_DELAY_SECONDS = 0.5, 30.0  # before another start; doubled each time
STABLE_SECONDS = 60.0  # a process that lived this long is started again without a longer delay
MAX_FAILURES = 3  # in a row
FAILED_TO_START = "vLLM does not start with this base model; its log (vllm.log) says why"
KEEPS_ENDING = "vLLM ends again and again with this base model; its log (vllm.log) says why"
RESTARTING = "The model cannot be reached just now. It restarts by itself: try again in a minute."
BROKE_DOWN = "The model broke down while answering: vLLM ended. It restarts by itself."
T = TypeVar("T")


class VllmRestarting(ValueError):
    """vLLM is being started again."""


class VllmHandle(Handle):
    """A submitted request; cancelling it ends vLLM's work on it."""

    task: Future[None] | None = None

    def cancel(self) -> None:
        super().cancel()
        if self.task:
            self.task.cancel()


class VllmEngine:
    """A base model served by vLLM. See `backend.Backend`.

    fatal_error: why vLLM is not started again; empty while it is.

    Raises BadModel, and BackendUnsupported where vLLM does not start.
    """

    kind, merged_adapter = "vllm", None

    def __init__(
        self,
        base: Path,
        number_format: str,
        *,
        program: Path,
        options: Sequence[str],
        log_file: Path,
        references: PeftReferences,
    ) -> None:
        self.folder = base
        self.number_format = "bf16" if number_format == "auto" else number_format
        if self.number_format not in DTYPES:
            raise BadModel(f"Unknown number format {number_format!r}: use auto, bf16 or fp32.")
        config = read_config(base)
        self._tokenizer = load_tokenizer(base)
        self._eos_token_ids = frozenset(
            stop_token_ids(self._tokenizer) | _configured_eos_token_ids(base, config)
        )
        size = int(config.get("text_config", config)["vocab_size"])
        self.vocabulary = Vocabulary(self._tokenizer, self._eos_token_ids, size)
        self.grammars = GrammarCache(self.vocabulary, call_format(self._tokenizer))
        self._thought_tokens = thought_tokens(self._tokenizer)
        self.fatal_error = ""
        self._queued_at: dict[int, float] = {}  # of sequences without a first token, by id()
        self._references = references
        check_messages: list[Message] = [{"role": "user", "content": CHECK_PROMPT}]
        self._check_token_ids = prompt_token_ids(self._tokenizer, check_messages)
        self._process = VllmProcess(program, base, self.number_format, options, log_file)
        self._client: VllmClient | None = None  # while the process answers
        self._adapter_cache: AdapterCache | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()
        try:
            self._call(self._start())
        except BaseException:
            self.close()
            raise
        self._supervision = asyncio.run_coroutine_threadsafe(self._supervise(), self._loop)

    # --- called from other threads ----------------------------------------------------

    @property
    def adapter_folders(self) -> list[str]:
        return self._adapter_cache.folders if self._adapter_cache else []

    @property
    def wait_seconds(self) -> float:
        """How long the oldest request in vLLM's queue has waited for its first token."""
        now = time.monotonic()
        return now - min([now, *self._queued_at.copy().values()])

    @property
    def memory_bytes(self) -> int:
        return self._process.memory_bytes

    def prepare(self, requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
        """Compile grammars and load adapters, so that what vLLM cannot do is known early.

        A bad adapter fails only its own request, later.

        Raises BackendUnsupported, VllmRestarting, UnsupportedTokenizer, UnsupportedSchema.
        """
        if any(request.top_logprobs is not None for request in requests):
            _ = self.vocabulary.tokens
        prepared = [replace(one, grammar=self.grammars.grammar(one)) for one in requests]
        self._call(self._load_adapters({request.adapter for request in requests}))
        return prepared

    def check_adapter(self, adapter: Path) -> None:
        """Load an adapter and make sure that vLLM applies it.

        Raises BadAdapter, BackendUnsupported, VllmRestarting.
        """
        self._call(self._load_adapter(adapter, require_effect=True))

    def submit(self, request: GenerationRequest, listener: Listener | None = None) -> Handle:
        """See `Backend.submit`. Raises PromptTooLong."""
        if request.prompt is None:
            token_ids = prompt_token_ids(
                self._tokenizer, request.messages, request.tools, thinking=request.thinks
            )
        else:
            token_ids = text_token_ids(self._tokenizer, request.prompt)
        room = min(request.max_tokens, self._context_length - len(token_ids))
        if room < 1:
            raise PromptTooLong(
                f"The conversation has {len(token_ids)} tokens and this model can see only "
                f"{self._context_length}. Shorten it."
            )
        handle = VllmHandle(listener, len(token_ids))
        work = self._answer(request, token_ids, room, handle)
        handle.task = asyncio.run_coroutine_threadsafe(work, self._loop)
        return handle

    def close(self) -> None:
        """End vLLM; unfinished requests fail."""
        self._call(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._process.stop()

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the child process ------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        """Start vLLM and wait until it answers.

        Raises BackendUnsupported when it ends before that, or takes too long.
        """
        self._process.start()
        client = VllmClient(self._process.socket, self._process.key)
        started_at = time.monotonic()
        while not await client.is_healthy():
            seconds = time.monotonic() - started_at
            if not self._process.is_alive or seconds > START_TIMEOUT_SECONDS:
                await client.close()
                raise BackendUnsupported(FAILED_TO_START)
            await asyncio.sleep(POLL_SECONDS)
        try:
            self._context_length = await client.context_length()
            base_logprobs = await client.prompt_logprobs(BASE_MODEL, self._check_token_ids)
        except (VllmConnectionError, VllmRejected) as error:
            log.exception("vLLM started, but does not answer")
            raise BackendUnsupported(FAILED_TO_START) from error
        log.info("vLLM is ready after %.0f s", time.monotonic() - started_at)

        async def check_before(adapter: Path) -> None:
            await asyncio.to_thread(self._reference, adapter)

        async def check_after(name: str, adapter: Path) -> str:
            reference = await asyncio.to_thread(self._reference, adapter)
            return await check_adapter(
                client, name, self._check_token_ids, base_logprobs, reference
            )

        self._adapter_cache = AdapterCache(client, check_before, check_after, MAX_ADAPTERS)
        self._client = client

    def _reference(self, adapter: Path) -> Reference | None:
        return self._references.get(self.folder, adapter, self._check_token_ids)

    async def _supervise(self) -> None:
        """Start the process again when it ends, with growing delays; give up in the end."""
        failures, delay, started_at = 0, FIRST_DELAY_SECONDS, time.monotonic()
        while True:
            while self._process.is_alive:
                await asyncio.sleep(POLL_SECONDS)
            if self._client:
                await self._client.close()
            self._client = self._adapter_cache = None
            if time.monotonic() - started_at > STABLE_SECONDS:
                failures, delay = 0, FIRST_DELAY_SECONDS
            failures += 1
            if failures > MAX_FAILURES:
                self.fatal_error = KEEPS_ENDING
                return
            log.warning("vLLM ended; starting it again in %.1f s", delay)
            await asyncio.sleep(delay)
            delay, started_at = min(delay * 2, MAX_DELAY_SECONDS), time.monotonic()
            try:
                await self._start()
            except BackendUnsupported as error:
                log.warning("%s", error)

    async def _cancel_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client:
            await self._client.close()

    # --- answers ----------------------------------------------------------------------

    def _connection(self) -> tuple[VllmClient, AdapterCache]:
        """Raises BackendUnsupported, VllmRestarting."""
        if self.fatal_error:
            raise BackendUnsupported(self.fatal_error)
        if not self._client or not self._adapter_cache:
            raise VllmRestarting(RESTARTING)
        return self._client, self._adapter_cache

    async def _load_adapter(self, adapter: Path | None, require_effect: bool = False) -> None:
        _client, adapters = self._connection()
        try:
            async with adapters.use(adapter, require_effect):
                pass
        except VllmConnectionError as error:
            raise VllmRestarting(RESTARTING) from error

    async def _load_adapters(self, adapters: set[Path | None]) -> None:
        self._connection()
        for adapter in adapters:
            try:
                await self._load_adapter(adapter)
            except BadAdapter as error:  # its own request will fail
                log.info("a bad adapter: %s", error)

    async def _answer(
        self, request: GenerationRequest, token_ids: list[int], room: int, handle: VllmHandle
    ) -> None:
        """Send the text and the completion of a request, or its error, to its handle."""
        try:
            handle.put(await self._generate(request, token_ids, room, handle))
        except asyncio.CancelledError:
            handle.put(Completion("", 0, "cancelled", 0.0))
            raise
        except (VllmConnectionError, VllmRestarting) as error:
            log.warning("vLLM broke off: %s", error)
            handle.put(EngineFailed(BROKE_DOWN))
        except VllmRejected as error:
            log.error("vLLM rejects a request: %s", error)
            handle.put(EngineFailed(f"vLLM does not take this request: {error}"))
        except Exception as error:
            handle.put(error)

    async def _generate(
        self, request: GenerationRequest, token_ids: list[int], room: int, handle: VllmHandle
    ) -> Completion:
        client, adapters = self._connection()
        async with adapters.use(request.adapter, request.require_effect) as name:
            sequence = SequenceState(
                request,
                token_ids,
                name,
                room,
                self._eos_token_ids,
                handle.cancel_event,
                LogprobRecorder.for_request(request, self.vocabulary),
                thought=Thought.for_request(request, self._thought_tokens, self._eos_token_ids),
            )
            self._queued_at[id(sequence)] = time.monotonic()
            try:
                if sequence.thought and self._thought_tokens:
                    stops = self._eos_token_ids | {self._thought_tokens.end}
                    body = thought_body(request, name, token_ids, room, stops)
                    await self._read(sequence, client.stream(body), handle)
                    if rest := sequence.end_thought(self._tokenizer):
                        handle.put(rest)
                if not sequence.is_finished:
                    token_ids = token_ids + sequence.output_token_ids
                    room -= len(sequence.output_token_ids)
                    body = answer_body(request, name, token_ids, room, self._eos_token_ids)
                    if grammar := self.grammars.grammar(request).text:
                        body["structured_outputs"] = {"grammar": grammar}
                    await self._read(sequence, client.stream(body), handle)
            finally:
                self._queued_at.pop(id(sequence), None)
            if not sequence.is_finished:
                raise VllmConnectionError("the answer has no end")
            return sequence.completion(self._tokenizer)

    async def _read(
        self,
        sequence: SequenceState,
        stream: AsyncGenerator[StreamChunk, None],
        handle: VllmHandle,
    ) -> None:
        async with aclosing(stream) as chunks:
            async for chunk in chunks:
                self._queued_at.pop(id(sequence), None)
                _append(sequence, chunk)
                text = sequence.next_chunk(self._tokenizer)
                handle.tokens = len(sequence.output_token_ids)
                if text or getattr(text, "logprobs", None):
                    handle.put(text)
                if sequence.is_finished:  # closing the stream ends vLLM's work
                    return


def _append(sequence: SequenceState, chunk: StreamChunk) -> None:
    for position, token in enumerate(chunk.token_ids):
        if sequence.is_finished:
            return
        if sequence.logprobs and not sequence.is_thinking:
            sequence.logprobs.add(token, chunk.logprobs[position], chunk.alternatives[position])
        sequence.append(token)
    if chunk.finish_reason and not sequence.finish_reason and not sequence.is_thinking:
        sequence.finish_reason = "length" if chunk.finish_reason == "length" else "stop"


def _configured_eos_token_ids(folder: Path, config: ModelConfig) -> set[int]:
    """The tokens that end an answer according to the model's own files."""
    configured = config.get("text_config", config).get("eos_token_id")
    try:
        defaults = json.loads((folder / "generation_config.json").read_text("utf-8"))
        configured = defaults.get("eos_token_id", configured)
    except (OSError, ValueError):
        log.debug("%s has no generation_config.json", folder.name)
    if configured is None:
        return set()
    return set(configured if isinstance(configured, list) else [configured])
