"""vLLM as an engine: the same requests, the same pieces of text, another process that computes.

One thread owns an event loop: it watches the child and reads its streams. vLLM gets token ids and
gives token ids; messages become tokens in template.py, and tokens text in rows.py, as everywhere.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from pathlib import Path
from typing import Any, TypeVar

from worker.engine.adapter_check import QUESTION
from worker.engine.adapters import BadAdapter
from worker.engine.backend import BackendUnsupported
from worker.engine.engine import Handle, StreamItem
from worker.engine.logprobs import LogprobRecorder
from worker.engine.model_loader import BadModel, read_config
from worker.engine.requests import Completion, EngineFailed, GenerationRequest, PromptTooLong
from worker.engine.sequences import SequenceState
from worker.engine.structured_output import SCHEMA_OPTIONS, SchemaCache
from worker.engine.vllm import adapter_check
from worker.engine.vllm.adapter_cache import AdapterCache
from worker.engine.vllm.client import (
    MODEL,
    StreamChunk,
    VllmClient,
    VllmConnectionError,
    VllmRejected,
)
from worker.engine.vllm.server_process import DTYPES, MAX_ADAPTERS, VllmProcess
from worker.engine.vocabulary import Vocabulary
from worker.template import load_tokenizer, prompt_token_ids, stop_token_ids, text_token_ids

log = logging.getLogger(__name__)

START_TIMEOUT_SECONDS = 900.0  # seconds: large models are read, and their kernels compiled
POLL_SECONDS = 0.2
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # before another start, doubled each time
STABLE_SECONDS = 60.0  # seconds; who lived that long starts again without delay
MAX_RESTARTS = 3  # in a row
FAILED_TO_START = "vLLM does not start with this base model; its log (vllm.log) says why"
KEEPS_ENDING = "vLLM ends again and again with this base model; its log (vllm.log) says why"
DOWN = "The model cannot be reached just now. It restarts by itself: try again in a minute."
BROKE_DOWN = "The model broke down while answering: vLLM ended. It restarts by itself."
T = TypeVar("T")


class VllmRestarting(ValueError):
    """vLLM is being started again."""


class VllmHandle(Handle):
    """A submitted request; to cancel it ends vLLM's work on it."""

    task: Future[None] | None = None

    def cancel(self) -> None:
        super().cancel()
        if self.task:
            self.task.cancel()


class VllmEngine:
    """See serving.Backend. Raises BadModel, and BackendUnsupported where vLLM does not start."""

    kind, merged = "vllm", None

    def __init__(
        self,
        base: Path,
        number_format: str,
        *,
        program: Path,
        options: Sequence[str],
        log_file: Path,
        references: adapter_check.PeftReferences,
    ) -> None:
        self.folder = base
        self.number_format = "bf16" if number_format == "auto" else number_format
        if self.number_format not in DTYPES:
            raise BadModel(f"Unknown number format {number_format!r}: use auto, bf16 or fp32.")
        config = read_config(base)
        self._tokenizer = load_tokenizer(base)
        self._ends = frozenset(stop_token_ids(self._tokenizer) | _stated_ends(base, config))
        size = int(config.get("text_config", config)["vocab_size"])
        self.vocabulary = Vocabulary(self._tokenizer, self._ends, size)
        self.schemas = SchemaCache(self.vocabulary)
        self.trouble = ""
        self._unanswered: dict[int, float] = {}  # since when, of requests without a first word
        self._references = references
        self._question = prompt_token_ids(self._tokenizer, [{"role": "user", "content": QUESTION}])
        self._child = VllmProcess(program, base, self.number_format, options, log_file)
        self._client: VllmClient | None = None  # while it is up
        self._adapter_cache: AdapterCache | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="vllm", daemon=True)
        self._thread.start()
        try:
            self._call(self._start())
        except BaseException:
            self.close()
            raise
        self._keeper = asyncio.run_coroutine_threadsafe(self._keep(), self._loop)

    # --- what others call -------------------------------------------------------------

    @property
    def held(self) -> list[str]:
        return self._adapter_cache.folders if self._adapter_cache else []

    @property
    def waited(self) -> float:
        """Seconds that somebody has waited for a first word, while vLLM keeps them in its queue."""
        now = time.monotonic()
        return now - min([now, *self._unanswered.copy().values()])

    @property
    def memory_bytes(self) -> int:
        return self._child.memory_bytes

    def prepare(self, requests: Sequence[GenerationRequest]) -> None:
        """Read what requests need, so that what vLLM cannot do is known before the first word. A
        bad adapter is told to whoever asks for it. Raises BackendUnsupported, VllmRestarting,
        NotReadable, UnsupportedSchema."""
        if any(request.top_logprobs is not None for request in requests):
            _ = self.vocabulary.tokens
        for schema in {request.schema for request in requests if request.schema}:
            self.schemas.matcher(schema)
        self._call(self._fetch({request.adapter for request in requests}))

    def check_adapter(self, adapter: Path) -> None:
        """Load an adapter, see that it changes what it should. Raises BadAdapter,
        BackendUnsupported, VllmRestarting."""
        self._call(self._use(adapter, require_effect=True))

    def submit(
        self, request: GenerationRequest, listener: Callable[[StreamItem], None] | None = None
    ) -> Handle:
        """See Engine.submit. Raises PromptTooLong."""
        if request.prompt is None:
            ids = prompt_token_ids(self._tokenizer, request.messages)
        else:
            ids = text_token_ids(self._tokenizer, request.prompt)
        room = min(request.max_new_tokens, self._context - len(ids))
        if room < 1:
            raise PromptTooLong(
                f"The conversation has {len(ids)} tokens and this model can see only "
                f"{self._context}. Shorten it."
            )
        handle = VllmHandle(listener)
        work = self._answer(request, ids, room, handle)
        handle.task = asyncio.run_coroutine_threadsafe(work, self._loop)
        return handle

    def close(self) -> None:
        """End vLLM; unfinished requests fail."""
        self._call(self._cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._child.end()

    def __enter__(self) -> VllmEngine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- the child --------------------------------------------------------------------

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _start(self) -> None:
        """Raises BackendUnsupported when it ends before it is ready, or takes too long."""
        self._child.start()
        client = VllmClient(self._child.socket, self._child.key)
        began = time.monotonic()
        while not await client.healthy():
            if not self._child.lives or time.monotonic() - began > START_TIMEOUT_SECONDS:
                await client.close()
                raise BackendUnsupported(FAILED_TO_START)
            await asyncio.sleep(POLL_SECONDS)
        try:
            self._context = await client.context()
            untouched = await client.scores(MODEL, self._question)
        except (VllmConnectionError, VllmRejected) as problem:
            log.exception("vLLM started, but does not answer")
            raise BackendUnsupported(FAILED_TO_START) from problem
        log.info("vLLM is ready after %.0f s", time.monotonic() - began)

        async def check(_name: str, adapter: Path) -> str:
            await asyncio.to_thread(self._reference, adapter)
            return ""

        async def compare(name: str, adapter: Path) -> str:
            reference = await asyncio.to_thread(self._reference, adapter)
            return await adapter_check.compare(client, name, self._question, untouched, reference)

        self._adapter_cache = AdapterCache(client, check, compare, MAX_ADAPTERS)
        self._client = client

    def _reference(self, adapter: Path) -> Any:
        return self._references.of(self.folder, adapter, self._question)

    async def _keep(self) -> None:
        """Start the child again when it ends, with growing pauses; give up after some."""
        deaths, delay, born = 0, FIRST_DELAY, time.monotonic()
        while True:
            while self._child.lives:
                await asyncio.sleep(POLL_SECONDS)
            if self._client:
                await self._client.close()
            self._client = self._adapter_cache = None
            if time.monotonic() - born > STABLE_SECONDS:
                deaths, delay = 0, FIRST_DELAY
            deaths += 1
            if deaths > MAX_RESTARTS:
                self.trouble = KEEPS_ENDING
                return
            log.warning("vLLM ended; starting it again in %.1f s", delay)
            await asyncio.sleep(delay)
            delay, born = min(delay * 2, LONGEST_DELAY), time.monotonic()
            try:
                await self._start()
            except BackendUnsupported as problem:
                log.warning("%s", problem)

    async def _cancel_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client:
            await self._client.close()

    # --- answers ----------------------------------------------------------------------

    def _up(self) -> tuple[VllmClient, AdapterCache]:
        if self.trouble:
            raise BackendUnsupported(self.trouble)
        if not self._client or not self._adapter_cache:
            raise VllmRestarting(DOWN)
        return self._client, self._adapter_cache

    async def _use(self, adapter: Path | None, require_effect: bool = False) -> None:
        _client, adapter_cache = self._up()
        try:
            async with adapter_cache.use(adapter, require_effect):
                pass
        except VllmConnectionError as problem:
            raise VllmRestarting(DOWN) from problem

    async def _fetch(self, adapters: set[Path | None]) -> None:
        self._up()
        for adapter in adapters:
            try:
                await self._use(adapter)
            except BadAdapter as problem:  # its own lane hears of it
                log.info("a bad adapter: %s", problem)

    async def _answer(
        self, request: GenerationRequest, ids: list[int], room: int, handle: VllmHandle
    ) -> None:
        try:
            handle.put(await self._written(request, ids, room, handle))
        except asyncio.CancelledError:
            handle.put(Completion("", 0, "cancelled", 0.0))
            raise
        except (VllmConnectionError, VllmRestarting) as problem:
            log.warning("vLLM broke off: %s", problem)
            handle.put(EngineFailed(BROKE_DOWN))
        except VllmRejected as problem:
            log.error("vLLM refuses a request: %s", problem)
            handle.put(EngineFailed(f"vLLM does not take this request: {problem}"))
        except Exception as problem:
            handle.put(problem)

    async def _written(
        self, request: GenerationRequest, ids: list[int], room: int, handle: VllmHandle
    ) -> Completion:
        client, adapter_cache = self._up()
        async with adapter_cache.use(request.adapter, request.require_effect) as name:
            row = SequenceState(
                request,
                ids,
                name,
                room,
                self._ends,
                handle.unwanted,
                self._logprob_recorder(request),
            )
            self._unanswered[id(row)] = time.monotonic()
            try:
                await self._follow(row, client.stream(self._body(request, name, ids, room)), handle)
            finally:
                self._unanswered.pop(id(row), None)
            if not row.over:
                raise VllmConnectionError("the answer has no end")
            return row.completion(self._tokenizer)

    async def _follow(
        self, row: SequenceState, stream: AsyncGenerator[StreamChunk, None], handle: VllmHandle
    ) -> None:
        async with aclosing(stream) as steps:
            async for step in steps:
                self._unanswered.pop(id(row), None)
                self._write(row, step)
                piece = row.news(self._tokenizer)
                if piece or getattr(piece, "logprobs", None):
                    handle.put(piece)
                if row.over:  # closing the stream ends vLLM's work
                    return

    def _write(self, row: SequenceState, step: StreamChunk) -> None:
        for at, token in enumerate(step.tokens):
            if row.over:
                return
            if row.logprobs:
                row.logprobs.add(token, step.sure[at], step.likeliest[at])
            row.add(token)
        if step.finish_reason and not row.finish_reason:
            row.finish_reason = "length" if step.finish_reason == "length" else "stop"

    def _logprob_recorder(self, request: GenerationRequest) -> LogprobRecorder | None:
        most = request.top_logprobs
        return None if most is None else LogprobRecorder(self.vocabulary, most)

    def _body(
        self, request: GenerationRequest, name: str, ids: list[int], room: int
    ) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": name,
            "prompt": ids,
            "max_tokens": room,
            "temperature": request.temperature,
            "top_p": request.top_p,
            "seed": request.seed,
            "presence_penalty": request.presence_penalty,
            "frequency_penalty": request.frequency_penalty,
            "stop_token_ids": sorted(self._ends),
        }
        if request.top_logprobs is not None:
            body["logprobs"] = request.top_logprobs
        if request.schema:
            form = json.loads(request.schema)
            body["structured_outputs"] = {"json": {**form, "x-guidance": SCHEMA_OPTIONS}}
        return body


def _stated_ends(folder: Path, config: dict[str, Any]) -> set[int]:
    """The tokens that end an answer according to the model's own files."""
    stated = config.get("text_config", config).get("eos_token_id")
    try:
        habits = json.loads((folder / "generation_config.json").read_text("utf-8"))
        stated = habits.get("eos_token_id", stated)
    except (OSError, ValueError):
        log.debug("%s has no generation_config.json", folder.name)
    return set() if stated is None else set(stated if isinstance(stated, list) else [stated])
