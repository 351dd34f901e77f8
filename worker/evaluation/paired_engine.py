"""Two engines as one, to compare a model of which every weight was trained with its base model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker.engine.backend import Handle, Listener
from worker.engine.requests import GenerationRequest

if TYPE_CHECKING:
    from torch import Tensor

    from worker.engine.engine import Engine


class PairedEngine:
    """The base model's engine, and beside it that of the tuned model.

    Whatever compares an adapter with its base model compares the tuned model in the same way:
    requests that name its folder as their adapter are answered by it.
    """

    def __init__(self, base: Engine, tuned: Engine) -> None:
        self._base, self._tuned = base, tuned
        self.loaded, self.number_format = base.loaded, base.number_format

    def submit(self, request: GenerationRequest, listener: Listener | None = None) -> Handle:
        """See `Backend.submit`."""
        if request.adapter == self._tuned.folder:
            return self._tuned.submit(replace(request, adapter=None), listener)
        return self._base.submit(request, listener)

    def logits(self, input_ids: Tensor, adapter: Path | None = None) -> Tensor:
        """See `Engine.logits`."""
        if adapter == self._tuned.folder:
            return self._tuned.logits(input_ids)
        return self._base.logits(input_ids, adapter)
