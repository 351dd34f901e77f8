"""What the house asks of whatever serves a base model, and how that is chosen."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from finetune_app.core.vllm_installation import VllmInstallation
from worker.engine.requests import Completion, GenerationRequest

log = logging.getLogger(__name__)

StreamItem = str | Completion | Exception


class BackendUnsupported(ValueError):
    """vLLM cannot serve this; our own engine does. The message says why, for a page."""


class Cancellable(Protocol):
    def cancel(self) -> None: ...


class Backend(Protocol):
    """One base model that answers. `kind`: "own" or "vllm"; `trouble`: why it can serve no more;
    `held`: folders of the adapters in memory; `merged`: the one of them that is merged into a copy
    of the weights; `waited`: seconds that the first in the queue has waited; `memory_bytes`:
    outside this process."""

    kind: str
    folder: Path
    number_format: str

    @property
    def trouble(self) -> str: ...
    @property
    def held(self) -> list[str]: ...
    @property
    def merged(self) -> str | None: ...
    @property
    def waited(self) -> float: ...
    @property
    def memory_bytes(self) -> int: ...
    def prepare(self, requests: Sequence[GenerationRequest]) -> None: ...
    def check_adapter(self, adapter: Path) -> None: ...
    def submit(
        self, request: GenerationRequest, listener: Callable[[StreamItem], None]
    ) -> Cancellable: ...
    def close(self) -> None: ...


class BackendSelector:
    """Which engine serves a base model: vLLM where there is one, else, and for what it cannot do,
    our own. What vLLM could not do is not tried again before this process starts anew."""

    def __init__(self, found: VllmInstallation, log_file: Path) -> None:
        self._found, self._log_file = found, log_file
        self._unfit: dict[Path, str] = {}
        self._references: Any = None

    def kind(self, base: Path) -> str:
        return "vllm" if self._found.program and base not in self._unfit else "own"

    def why_not(self, base: Path | None) -> str:
        """What keeps vLLM from serving a base model; "" if it does, or nobody would expect it."""
        return (self._unfit.get(base, "") if base else "") or self._found.why_not

    def refuse(self, base: Path, why: str) -> None:
        log.warning("our own engine serves %s, not vLLM: %s", base.name, why)
        self._unfit[base] = why

    def open(self, base: Path, number_format: str) -> Backend:
        """Load a base model; takes a while. Raises BadModel."""
        if self.kind(base) == "vllm":
            try:
                return self._open_vllm(base, number_format)
            except BackendUnsupported as why:
                self.refuse(base, str(why))
        from worker.engine.engine import Engine  # torch: only when the first model is asked

        return Engine(base, number_format)

    def _open_vllm(self, base: Path, number_format: str) -> Backend:
        from worker.engine.vllm.adapter_check import PeftReferences
        from worker.engine.vllm.engine import VllmEngine

        assert self._found.program
        self._references = self._references or PeftReferences()  # kept while models come and go
        return VllmEngine(
            base,
            number_format,
            program=self._found.program,
            options=self._found.options,
            log_file=self._log_file,
            references=self._references,
        )
