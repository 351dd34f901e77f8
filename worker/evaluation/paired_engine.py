"""Two engines as one, to compare what was tuned with its base model as it is: a model of which
every weight was trained, or an adapter beside weights that are rounded to NF4."""

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
    """The base model's engine, and beside it that of what was tuned, which answers all requests
    with an adapter. A model of which every weight was trained is asked for by its folder, as if it
    were an adapter.
    """

    def __init__(self, base: Engine, tuned: Engine) -> None:
        self._base, self._tuned = base, tuned
        self.loaded, self.number_format = base.loaded, base.number_format

    def submit(self, request: GenerationRequest, listener: Listener | None = None) -> Handle:
        """See `Backend.submit`."""
        if request.adapter is None:
            return self._base.submit(request, listener)
        return self._tuned.submit(replace(request, adapter=self._own(request.adapter)), listener)

    def logits(self, input_ids: Tensor, adapter: Path | None = None) -> Tensor:
        """See `Engine.logits`."""
        if adapter is None:
            return self._base.logits(input_ids)
        return self._tuned.logits(input_ids, self._own(adapter))

    def _own(self, adapter: Path) -> Path | None:
        """The adapter that the tuned model's engine needs; None where it is the model itself."""
        return None if adapter == self._tuned.folder else adapter
