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

from worker.engine.adapters import BadAdapter
from worker.engine.engine import Handle, Item
from worker.engine.forms import RULES, Forms
from worker.engine.model import BadModel, read_config
from worker.engine.proof import QUESTION
from worker.engine.requests import Completion, EngineFailed, PromptTooLong, Request
from worker.engine.rows import Row
from worker.engine.serving import Unfit
from worker.engine.telling import Teller
from worker.engine.vllm import proof
from worker.engine.vllm.child import DTYPES, MOST_ADAPTERS, Child
from worker.engine.vllm.client import MODEL, Broken, Client, Refused, Step
from worker.engine.vllm.shelf import Shelf
from worker.engine.vocabulary import Vocabulary
from worker.template import load_tokenizer, prompt_ids, stop_ids, text_ids

log = logging.getLogger(__name__)

START_PATIENCE = 900.0  # seconds: large models are read, and their kernels compiled
LOOK_SECONDS = 0.2
FIRST_DELAY, LONGEST_DELAY = 0.5, 30.0  # before another start, doubled each time
SETTLED = 60.0  # seconds; who lived that long starts again without delay
MOST_DEATHS = 3  # in a row
DID_NOT_START = "vLLM does not start with this base model; its log (vllm.log) says why"
KEEPS_ENDING = "vLLM ends again and again with this base model; its log (vllm.log) says why"
DOWN = "The model cannot be reached just now. It restarts by itself: try again in a minute."
BROKE_DOWN = "The model broke down while answering: vLLM ended. It restarts by itself."
T = TypeVar("T")


class Down(ValueError):
    """vLLM is being started again."""


class Wanted(Handle):
    """A submitted request; to cancel it ends vLLM's work on it."""

    task: Future[None] | None = None

    def cancel(self) -> None:
        super().cancel()
        if self.task:
            self.task.cancel()


class VllmEngine:
    """See serving.Serving. Raises BadModel, and Unfit where vLLM does not start."""

    kind, merged = "vllm", None

    def __init__(
        self,
        base: Path,
        number_format: str,
        *,
        program: Path,
        options: Sequence[str],
        log_file: Path,
        references: proof.References,
    ) -> None:
        self.folder = base
        self.number_format = "bf16" if number_format == "auto" else number_format
        if self.number_format not in DTYPES:
            raise BadModel(f"Unknown number format {number_format!r}: use auto, bf16 or fp32.")
        config = read_config(base)
        self._tokenizer = load_tokenizer(base)
        self._ends = frozenset(stop_ids(self._tokenizer) | _stated_ends(base, config))
        size = int(config.get("text_config", config)["vocab_size"])
        self.vocabulary = Vocabulary(self._tokenizer, self._ends, size)
        self.forms = Forms(self.vocabulary)
        self.trouble = ""
        self._unanswered: dict[int, float] = {}  # since when, of requests without a first word
        self._references = references
        self._question = prompt_ids(self._tokenizer, [{"role": "user", "content": QUESTION}])
        self._child = Child(program, base, self.number_format, options, log_file)
        self._client: Client | None = None  # while it is up
        self._shelf: Shelf | None = None
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
        return self._shelf.folders if self._shelf else []

    @property
    def waited(self) -> float:
        """Seconds that somebody has waited for a first word, while vLLM keeps them in its queue."""
        now = time.monotonic()
        return now - min([now, *self._unanswered.copy().values()])

    @property
    def memory_bytes(self) -> int:
        return self._child.memory_bytes

    def prepare(self, requests: Sequence[Request]) -> None:
        """Read what requests need, so that what vLLM cannot do is known before the first word. A
        bad adapter is told to whoever asks for it. Raises Unfit, Down, NotReadable, BadForm."""
        if any(request.top_logprobs is not None for request in requests):
            _ = self.vocabulary.tokens
        for schema in {request.schema for request in requests if request.schema}:
            self.forms.read(schema)
        self._call(self._fetch({request.adapter for request in requests}))

    def prove(self, adapter: Path) -> None:
        """Load an adapter, see that it changes what it should. Raises BadAdapter, Unfit, Down."""
        self._call(self._use(adapter, must_differ=True))

    def submit(self, request: Request, listener: Callable[[Item], None] | None = None) -> Handle:
        """See Engine.submit. Raises PromptTooLong."""
        if request.prompt is None:
            ids = prompt_ids(self._tokenizer, request.messages)
        else:
            ids = text_ids(self._tokenizer, request.prompt)
        room = min(request.max_new_tokens, self._context - len(ids))
        if room < 1:
            raise PromptTooLong(
                f"The conversation has {len(ids)} tokens and this model can see only "
                f"{self._context}. Shorten it."
            )
        handle = Wanted(listener)
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
        """Raises Unfit when it ends before it is ready, or takes too long."""
        self._child.start()
        client = Client(self._child.socket, self._child.key)
        began = time.monotonic()
        while not await client.healthy():
            if not self._child.lives or time.monotonic() - began > START_PATIENCE:
                await client.close()
                raise Unfit(DID_NOT_START)
            await asyncio.sleep(LOOK_SECONDS)
        try:
            self._context = await client.context()
            untouched = await client.scores(MODEL, self._question)
        except (Broken, Refused) as problem:
            log.exception("vLLM started, but does not answer")
            raise Unfit(DID_NOT_START) from problem
        log.info("vLLM is ready after %.0f s", time.monotonic() - began)

        async def check(_name: str, adapter: Path) -> str:
            await asyncio.to_thread(self._reference, adapter)
            return ""

        async def look(name: str, adapter: Path) -> str:
            reference = await asyncio.to_thread(self._reference, adapter)
            return await proof.look(client, name, self._question, untouched, reference)

        self._shelf = Shelf(client, check, look, MOST_ADAPTERS)
        self._client = client

    def _reference(self, adapter: Path) -> Any:
        return self._references.of(self.folder, adapter, self._question)

    async def _keep(self) -> None:
        """Start the child again when it ends, with growing pauses; give up after some."""
        deaths, delay, born = 0, FIRST_DELAY, time.monotonic()
        while True:
            while self._child.lives:
                await asyncio.sleep(LOOK_SECONDS)
            if self._client:
                await self._client.close()
            self._client = self._shelf = None
            if time.monotonic() - born > SETTLED:
                deaths, delay = 0, FIRST_DELAY
            deaths += 1
            if deaths > MOST_DEATHS:
                self.trouble = KEEPS_ENDING
                return
            log.warning("vLLM ended; starting it again in %.1f s", delay)
            await asyncio.sleep(delay)
            delay, born = min(delay * 2, LONGEST_DELAY), time.monotonic()
            try:
                await self._start()
            except Unfit as problem:
                log.warning("%s", problem)

    async def _cancel_all(self) -> None:
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        if self._client:
            await self._client.close()

    # --- answers ----------------------------------------------------------------------

    def _up(self) -> tuple[Client, Shelf]:
        if self.trouble:
            raise Unfit(self.trouble)
        if not self._client or not self._shelf:
            raise Down(DOWN)
        return self._client, self._shelf

    async def _use(self, adapter: Path | None, must_differ: bool = False) -> None:
        _client, shelf = self._up()
        try:
            async with shelf.use(adapter, must_differ):
                pass
        except Broken as problem:
            raise Down(DOWN) from problem

    async def _fetch(self, adapters: set[Path | None]) -> None:
        self._up()
        for adapter in adapters:
            try:
                await self._use(adapter)
            except BadAdapter as problem:  # its own lane hears of it
                log.info("a bad adapter: %s", problem)

    async def _answer(self, request: Request, ids: list[int], room: int, handle: Wanted) -> None:
        try:
            handle.put(await self._written(request, ids, room, handle))
        except asyncio.CancelledError:
            handle.put(Completion("", 0, "cancelled", 0.0))
            raise
        except (Broken, Down) as problem:
            log.warning("vLLM broke off: %s", problem)
            handle.put(EngineFailed(BROKE_DOWN))
        except Refused as problem:
            log.error("vLLM refuses a request: %s", problem)
            handle.put(EngineFailed(f"vLLM does not take this request: {problem}"))
        except Exception as problem:
            handle.put(problem)

    async def _written(
        self, request: Request, ids: list[int], room: int, handle: Wanted
    ) -> Completion:
        client, shelf = self._up()
        async with shelf.use(request.adapter, request.must_differ) as name:
            row = Row(request, ids, name, room, self._ends, handle.unwanted, self._teller(request))
            self._unanswered[id(row)] = time.monotonic()
            try:
                await self._follow(row, client.stream(self._body(request, name, ids, room)), handle)
            finally:
                self._unanswered.pop(id(row), None)
            if not row.over:
                raise Broken("the answer has no end")
            return row.completion(self._tokenizer)

    async def _follow(self, row: Row, stream: AsyncGenerator[Step, None], handle: Wanted) -> None:
        async with aclosing(stream) as steps:
            async for step in steps:
                self._unanswered.pop(id(row), None)
                self._write(row, step)
                piece = row.news(self._tokenizer)
                if piece or getattr(piece, "logprobs", None):
                    handle.put(piece)
                if row.over:  # closing the stream ends vLLM's work
                    return

    def _write(self, row: Row, step: Step) -> None:
        for at, token in enumerate(step.tokens):
            if row.over:
                return
            if row.teller:
                row.teller.write(token, step.sure[at], step.likeliest[at])
            row.add(token)
        if step.finish_reason and not row.finish_reason:
            row.finish_reason = "length" if step.finish_reason == "length" else "stop"

    def _teller(self, request: Request) -> Teller | None:
        most = request.top_logprobs
        return None if most is None else Teller(self.vocabulary, most)

    def _body(self, request: Request, name: str, ids: list[int], room: int) -> dict[str, Any]:
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
            body["structured_outputs"] = {"json": {**form, "x-guidance": RULES}}
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
