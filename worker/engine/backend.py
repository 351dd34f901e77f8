"""What a backend offers, and the handle of a submitted request. Imports no torch."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from worker.engine.requests import Completion, GenerationRequest

# What a request yields: chunks of text, then a completion or the error that ended it.
StreamItem = str | Completion | Exception
Listener = Callable[[StreamItem], object]


class BackendUnsupported(ValueError):
    """vLLM cannot serve this, our own engine can. The message is shown on a page."""


class Backend(Protocol):
    """A loaded base model that answers requests: our own `Engine`, or `VllmEngine`.

    kind: "own" or "vllm".
    adapter_folders: adapters now in memory, least recently used first.
    merged_adapter: folder of the adapter that is merged into a copy of the weights.
    wait_seconds: how long the first request in the queue has been waiting.
    memory_bytes: memory outside this process.
    """

    kind: str
    folder: Path
    number_format: str

    @property
    def adapter_folders(self) -> list[str]: ...
    @property
    def merged_adapter(self) -> str | None: ...
    @property
    def wait_seconds(self) -> float: ...
    @property
    def memory_bytes(self) -> int: ...

    def prepare(self, requests: Sequence[GenerationRequest]) -> list[GenerationRequest]:
        """The requests with their grammars, to submit without further slow work; blocks.

        Raises BackendUnsupported, UnsupportedSchema, UnsupportedTokenizer.
        """

    def check_adapter(self, adapter: Path) -> None:
        """Load an adapter and make sure that it changes the output; blocks.

        Raises BadAdapter, BackendUnsupported.
        """

    def submit(self, request: GenerationRequest, listener: Listener | None = None) -> Handle:
        """Queue a request. A listener gets its items, called from the backend's own thread.

        Raises PromptTooLong, UnsupportedSchema.
        """

    def close(self) -> None:
        """Free the model; unfinished requests fail."""


class Handle:
    """A submitted request: iterate over its chunks of text, or wait for its result.

    prompt_tokens, tokens: how many it has, and how many are written so far.
    """

    completion: Completion

    def __init__(self, listener: Listener | None = None, prompt_tokens: int = 0) -> None:
        self.prompt_tokens, self.tokens = prompt_tokens, 0
        self._items: queue.SimpleQueue[StreamItem] = queue.SimpleQueue()
        self.put = listener or self._items.put
        self.cancel_event = threading.Event()

    def __iter__(self) -> Iterator[str]:
        """Chunks of text as they are written; `completion` is set afterwards."""
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
        """Wait for the completion. Raises the error that ended the request."""
        for _chunk in self:
            pass
        return self.completion

    def cancel(self) -> None:
        """Stop generating; the sequence leaves the batch before the next step."""
        self.cancel_event.set()

    @property
    def cancelled(self) -> bool:
        return self.cancel_event.is_set()
